// Package browser tests the viewer in a real browser, Chromium without a window. It is in a module of
// its own, so that nobody who uses the library gets the driver of a browser.
package browser
