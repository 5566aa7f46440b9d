package sysctl

import (
	"slices"
	"sync"
)

// Memory is a Journal that is gone with the process: for tests.
type Memory struct {
	mu   sync.Mutex
	list []Entry
}

var _ Journal = (*Memory)(nil)

// Begin is Journal's.
func (m *Memory) Begin(e Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, e)
	return nil
}

// Done is Journal's.
func (m *Memory) Done(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, func(e Entry) bool { return e.Key == key })
	return nil
}

// Entries is Journal's.
func (m *Memory) Entries() ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list), nil
}
