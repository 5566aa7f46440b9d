package main

import "context"

// turns bounds what waits for its turn; where so much does, nobody takes it.
const turns = 64

// inTurn gives a function that runs others elsewhere, one after another: what came
// last is what stands. done is closed when ctx has ended and nothing is under way.
func inTurn(ctx context.Context) (later func(func()), done chan struct{}) {
	queue, done := make(chan func(), turns), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case f := <-queue:
				f()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func(f func()) {
		select {
		case queue <- f:
		default:
		}
	}, done
}
