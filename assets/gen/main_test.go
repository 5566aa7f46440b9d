package main

import (
	"bytes"
	"encoding/binary"
	"image/png"
	"os"
	"runtime"
	"testing"
)

// TestIconsAreAsTheirSources: whoever changes an SVG runs make icons.
func TestIconsAreAsTheirSources(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors round otherwise")
	}
	t.Chdir("..")
	for name, want := range all() {
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what its source gives (%v): make icons", name, err)
		}
	}
}

// TestContainers reads ICO and ICNS as their formats say.
func TestContainers(t *testing.T) {
	t.Chdir("..")
	files := all()
	b := files["app/kith.ico"]
	sizes := []int{16, 32, 48, 256}
	if n := int(binary.LittleEndian.Uint16(b[4:])); n != len(sizes) {
		t.Fatalf("%d entries", n)
	}
	for i, want := range sizes {
		e := b[6+16*i:]
		at, n := binary.LittleEndian.Uint32(e[12:]), binary.LittleEndian.Uint32(e[8:])
		if got := width(t, b[at:at+n]); got != want || e[0] != byte(want) {
			t.Errorf("entry %d is %d wide and says %d", i, got, e[0])
		}
	}
	b = files["app/kith.icns"]
	if string(b[:4]) != "icns" || int(binary.BigEndian.Uint32(b[4:])) != len(b) {
		t.Fatalf("header %q", b[:8])
	}
	for b = b[8:]; len(b) > 0; {
		n := binary.BigEndian.Uint32(b[4:])
		if got := width(t, b[8:n]); icnsTypes[got] != string(b[:4]) {
			t.Errorf("%s is %d wide", b[:4], got)
		}
		b = b[n:]
	}
}

func width(t *testing.T, b []byte) int {
	t.Helper()
	c, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return c.Width
}
