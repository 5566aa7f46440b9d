package netstack

import (
	"context"
	"errors"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Shake takes a connection that a forwarder heard of, and waits for the rest of
// its handshake or the end of ctx. The forwarder's bound counts it until then.
func Shake(ctx context.Context, r *tcp.ForwarderRequest) (*gonet.TCPConn, tcpip.Endpoint, error) {
	var wq waiter.Queue
	done := make(chan struct{})
	defer close(done)
	stop := context.AfterFunc(ctx, func() { wake(&wq, done) })
	defer stop()
	ep, err := r.CreateEndpoint(&wq)
	r.Complete(false)
	if err != nil {
		return nil, nil, errors.New(err.String())
	}
	return gonet.NewTCPConn(&wq, ep), ep, nil
}

// wake has CreateEndpoint look at its endpoint, which nothing else does before
// the last SYN-ACK is due. It may not be waiting yet.
func wake(wq *waiter.Queue, done <-chan struct{}) {
	for {
		wq.Notify(waiter.WritableEvents)
		select {
		case <-done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
