package browser

import (
	"testing"
	"time"
)

// lowContrast gives the visible texts whose contrast against what is behind them is below 4.5, or 3 for
// large ones (WCAG 2.2, 1.4.3).
const lowContrast = `(() => {
	const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const rgba = (color) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = color;
		canvas.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
		return [r, g, b, a / 255];
	};
	const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
	const behind = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) {
			const c = rgba(getComputedStyle(e).backgroundColor);
			if (c[3] > 0) layers.push(c);
			if (c[3] === 1) break;
		}
		return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
	};
	const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const bad = [];
	for (const e of document.querySelectorAll("#app *")) {
		const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
		const style = getComputedStyle(e);
		if (!text || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || e.closest(":disabled, [aria-disabled=true], .sr")) continue;
		const under = behind(e);
		const [a, b] = [light(over(rgba(style.color), under)), light(under)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		const size = parseFloat(style.fontSize);
		if (ratio < (size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5)) bad.push(e.className + " " + e.textContent.slice(0, 30) + " " + ratio.toFixed(2));
	}
	return [...new Set(bad)].join("; ");
})()`

func TestLook_lightDarkAndPhone(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	backgrounds := map[string]bool{}
	for _, dark := range []bool{false, true} {
		for _, size := range [][2]int64{{1440, 1000}, {900, 900}, {390, 844}} {
			if dark {
				tb.dark()
			}
			tb.size(size[0], size[1])
			name := map[bool]string{false: "light", true: "dark"}[dark] + map[int64]string{1440: "-wide", 900: "-tablet", 390: "-phone"}[size[0]]
			for _, view := range []struct{ name, query, wait string }{
				{"list", "", "document.querySelector('tr[data-id]')"},
				{"detail", "?action=CHANGE&record=" + richRecord, "document.querySelector('#record-title')"},
				{"empty", "?user_id=nobody&request_id=none", "document.querySelector('.state')"},
			} {
				tb.open("/audit/" + view.query)
				tb.wait(view.wait + " && " + quiet + " && !document.querySelector('.histogram[aria-busy], .facets[aria-busy]')")
				tb.run(script("document.getAnimations().forEach((a) => a.finish())"))
				tb.picture(name + "-" + view.name)
				if got := tb.eval(lowContrast); got != "" {
					t.Errorf("%s %s: too little contrast: %s", name, view.name, got)
				}
				if got := tb.eval("document.documentElement.scrollWidth <= innerWidth"); got != "true" {
					t.Errorf("%s %s: the page is wider than the window", name, view.name)
				}
			}
			backgrounds[tb.eval("getComputedStyle(document.documentElement).backgroundColor")] = true
		}
	}
	if len(backgrounds) != 2 {
		t.Errorf("the grounds are %v, want a light and a dark one", backgrounds)
	}
}

func TestPhone_cardsAndFilters(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := newTab(t, a.url)
	tb.allow("401")
	tb.size(390, 844)
	tb.signIn()
	if got := tb.eval("getComputedStyle(document.querySelector('tr[data-id]')).display"); got != "grid" {
		t.Errorf("a record is shown as %s, want a card", got)
	}
	if got := tb.eval("document.querySelector('#fields').checkVisibility()"); got != "false" {
		t.Error("the filters take the phone's room before they are asked for")
	}
	tb.click(".toggle")
	tb.wait("document.querySelector('#fields').checkVisibility() && document.querySelector('.toggle').getAttribute('aria-expanded') === 'true'")
	tb.picture("filters")
	tb.click(`.chip[data-action="DELETE"]`)
	tb.wait(onlyText("td.what", "DELETE"))
	if got := tb.texts(".toggle .badge")[0]; got != "1" {
		t.Errorf("the button counts %q filters", got)
	}
	tb.click(".toggle")
	tb.click("tr[data-id]")
	tb.wait("document.querySelector('#record-title')")
	if got := tb.eval("document.querySelector('.drawer').getBoundingClientRect().width === innerWidth"); got != "true" {
		t.Error("the record does not have the whole width")
	}
	tb.click(".drawerbar button[aria-label=Close]")
	tb.wait("document.querySelector('.drawer').hidden")
	tb.noViolations()
}
