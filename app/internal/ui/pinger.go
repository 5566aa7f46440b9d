package ui

import (
	"context"
	"image"
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// pingMost ends a ping that finds no direct way.
const pingMost = 60

// pinger pings one device, live, until it is reached directly.
type pinger struct {
	s      *Shell
	box    *fyne.Container
	button *Button
	says   *widget.Label
	dev    string // ID of the device the words are about
	end    context.CancelFunc
	took   func(ms float64) // an answer came after so long
}

func newPinger(s *Shell) *pinger {
	p := &pinger{s: s, says: faint(""), took: func(float64) {}}
	p.button = newIconButton("", theme.MailSendIcon(), nil)
	p.box = container.NewVBox(p.button, p.says)
	p.idle()
	return p
}

func (p *pinger) idle() {
	p.button.SetText(p.s.say("ping.start"))
	p.button.SetIcon(theme.MediaPlayIcon())
}

// set is about a device, as it is now; what is said of another is cleared.
func (p *pinger) set(dev model.Device) {
	if dev.ID() != p.dev {
		p.stop()
		p.dev = dev.ID()
		say(p.says, "")
	}
	p.button.OnTapped = func() {
		if p.end != nil {
			p.stop()
			return
		}
		p.start(dev)
	}
	enable(p.button, p.end != nil || dev.Dot != model.DotUnknown && dev.Peer.FQDN != "")
}

func (p *pinger) stop() {
	if p.end != nil {
		p.end()
		p.end = nil
		p.idle()
	}
}

func (p *pinger) start(dev model.Device) {
	if p.end != nil || dev.ID() != p.dev {
		return
	}
	ctx, end := context.WithCancel(p.s.ctx)
	p.end = end
	p.button.SetText(p.s.say("ping.stop"))
	p.button.SetIcon(theme.MediaStopIcon())
	say(p.says, p.s.say("ping.running"))
	id, s := dev.ID(), p.s
	s.env.Go(func() {
		err := s.env.Helper.Ping(ctx, ipc.PingRequest{Network: dev.Net, Host: dev.Peer.FQDN, Count: pingMost, UntilDirect: true}, func(r ipc.PingReply) error {
			if r.Done {
				return nil
			}
			s.env.Do(func() {
				if p.dev == id && p.end != nil {
					say(p.says, pingWords(s, r))
					if r.RTTMS != nil {
						p.took(*r.RTTMS)
					}
				}
			})
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		s.env.Do(func() {
			if p.dev != id || p.end == nil {
				return
			}
			p.stop()
			if err != nil && ipc.CodeOf(err) != ipc.CodeTimeout {
				say(p.says, s.words(err))
			}
		})
	})
}

func pingWords(s *Shell, r ipc.PingReply) string {
	if r.RTTMS == nil {
		return s.say("ping.lost", "seq", text.Number(r.Seq))
	}
	way := model.PathWords(s.env.Text, r.Path, r.Via)
	words := s.say("row.latency", "path", way, "latency", s.env.Text.Latency(*r.RTTMS))
	if r.Path == ipc.PathDirect || r.Path == ipc.PathLAN {
		return s.say("ping.direct", "text", words)
	}
	return words
}

// sparkline draws the last latencies of a device.
type sparkline struct {
	raster *canvas.Raster
	of     string // a Device's ID
	at     []float64
}

// sparkMost is how many latencies a sparkline keeps.
const sparkMost = 60

func newSparkline() *sparkline {
	sp := &sparkline{}
	sp.raster = canvas.NewRaster(sp.draw)
	sp.raster.SetMinSize(fyne.NewSize(120, 36))
	return sp
}

// add takes the latency of a moment.
func (sp *sparkline) add(dev model.Device) {
	if dev.ID() != sp.of {
		sp.of, sp.at = dev.ID(), nil
	}
	if dev.Peer.LatencyMS == nil || dev.Dot != model.DotOnline {
		return
	}
	if n := len(sp.at); n > 0 && sp.at[n-1] == *dev.Peer.LatencyMS {
		return
	}
	sp.push(*dev.Peer.LatencyMS)
}

// push appends one latency.
func (sp *sparkline) push(ms float64) {
	sp.at = append(sp.at, ms)
	if n := len(sp.at) - sparkMost; n > 0 {
		sp.at = sp.at[n:]
	}
	sp.raster.Refresh()
}

// draw is the line, scaled from zero to the slowest answer.
func (sp *sparkline) draw(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	if len(sp.at) < 2 || w < 4 || h < 4 {
		return img
	}
	most := 1.0
	for _, v := range sp.at {
		most = max(most, v)
	}
	r, g, b, _ := theme.Color(theme.ColorNamePrimary).RGBA()
	ink := color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 0xff}
	fill := ink
	fill.A = 0x30
	last := -1
	for x := range w {
		pos := float64(x) / float64(w-1) * float64(len(sp.at)-1)
		i := min(int(pos), len(sp.at)-2)
		v := sp.at[i] + (sp.at[i+1]-sp.at[i])*(pos-float64(i))
		y := int((1 - v/most) * float64(h-3))
		for fy := y; fy < h; fy++ {
			img.SetNRGBA(x, fy, fill)
		}
		from, to := y, y+1
		if last >= 0 {
			from, to = min(y, last), max(y, last)+1
		}
		for ly := from; ly <= to && ly < h; ly++ {
			img.SetNRGBA(x, ly, ink)
		}
		last = y
	}
	return img
}
