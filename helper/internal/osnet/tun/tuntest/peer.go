package tuntest

import (
	"reflect"
	"runtime"
	"unsafe"
)

// NoFinalizers takes the finalizers from a *device.Peer of wireguard-go. They
// drain its queues, which is fatal outside the fake clock's bubble that made
// them, and the garbage collector runs there. It panics where there are none.
func NoFinalizers(peer any) {
	queue := reflect.ValueOf(peer).Elem().FieldByName("queue")
	for _, name := range []string{"inbound", "outbound"} {
		q := queue.FieldByName(name)
		runtime.SetFinalizer(reflect.NewAt(q.Type(), unsafe.Pointer(q.UnsafeAddr())).Elem().Interface(), nil)
	}
}
