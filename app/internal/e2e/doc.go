// Package e2e holds the tests that drive the real kith-app under Xvfb: a real
// session bus with a StatusNotifier host and a notification service of our
// own, a helper behind the real ipc server, clicks and keys by xdotool. Run it
// by: go test -tags gui,gles,no_emoji ./app/internal/e2e
package e2e
