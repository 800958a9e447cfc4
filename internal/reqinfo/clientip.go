package reqinfo

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParseProxies reads addresses ("10.0.0.7") and blocks ("10.0.0.0/8"). The error names every entry
// that is neither.
func ParseProxies(list ...string) ([]netip.Prefix, error) {
	proxies := make([]netip.Prefix, 0, len(list))
	var bad []string
	for _, s := range list {
		if prefix, err := netip.ParsePrefix(s); err == nil {
			proxies = append(proxies, unmap(prefix).Masked())
		} else if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			proxies = append(proxies, netip.PrefixFrom(addr, addr.BitLen()))
		} else {
			bad = append(bad, fmt.Sprintf("%q", s))
		}
	}
	if bad != nil {
		return nil, fmt.Errorf("trusted proxies: %s: want addresses such as 10.0.0.7 or blocks such as 10.0.0.0/8",
			strings.Join(bad, ", "))
	}
	return proxies, nil
}

// unmap gives the IPv4 block that an IPv4-mapped IPv6 block stands for.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// ClientIP gives the address of the client, or "" if remoteAddr, the connection's other end, has
// none. forwarded are the values of X-Forwarded-For or a header like it, in their order.
//
// Everybody can write such a header; a proxy only appends to it. So the list is read from the right,
// and an entry counts only as long as the one that wrote it, which is the one to the right of it, is
// a trusted proxy. An entry that is no address ends the walk: the client is then the last proxy.
func ClientIP(remoteAddr string, forwarded []string, trusted []netip.Prefix) string {
	client, ok := parseAddr(remoteAddr)
	if !ok {
		return ""
	}
	for i := len(forwarded) - 1; i >= 0; i-- {
		for rest, more := forwarded[i], true; more; {
			if !isTrusted(client, trusted) {
				return client.String()
			}
			entry := rest
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				more = false
			}
			next, ok := parseAddr(strings.Trim(entry, " \t"))
			if !ok {
				return client.String()
			}
			client = next
		}
	}
	return client.String()
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if unmap(p).Contains(addr) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with or without a port and brackets. It leaves out the zone, which may
// be any text.
func parseAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			addr = ap.Addr()
		} else if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
			addr, err = netip.ParseAddr(s[1 : n-1])
			if err != nil {
				return netip.Addr{}, false
			}
		} else {
			return netip.Addr{}, false
		}
	}
	return addr.Unmap().WithZone(""), true
}
