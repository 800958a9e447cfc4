package spool

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// freeze makes the folder unwritable, for root too where the file system can.
func freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		return func() { _ = os.Chmod(dir, 0o700) }
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|0x10) // FS_IMMUTABLE_FL
	}
	if err != nil {
		_ = f.Close()
		return asNobody(t)
	}
	return func() {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
		_ = f.Close()
	}
}

// asNobody takes root's rights over files from the goroutine of the test, until it is undone: for file
// systems that have no immutable folders.
func asNobody(t *testing.T) (undo func()) {
	t.Helper()
	const nobody = 65534
	runtime.LockOSThread()
	old, err := unix.SetfsuidRetUid(nobody)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := unix.SetfsuidRetUid(old); err == nil {
			runtime.UnlockOSThread() // else the thread ends with the goroutine
		}
	}
}
