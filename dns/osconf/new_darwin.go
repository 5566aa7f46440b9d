package osconf

import "fmt"

// New is the Manager of macOS. What a crash left of ours is taken away first.
func New(cfg Config) (Manager, error) {
	cfg.Log = cfg.logger()
	if err := Restore(cfg); err != nil {
		return nil, fmt.Errorf("restore the resolver's configuration after a crash: %w", err)
	}
	return newResolverFiles(cfg), nil
}

// Restore takes away what a crash left of ours.
func Restore(cfg Config) error {
	cfg.Log = cfg.logger()
	return newResolverFiles(cfg).restore()
}
