package desktop

import "errors"

// Errors of what a desktop may lack.
var (
	ErrNoClipboard = errors.New("this session has no clipboard that Kith can write to")
	ErrNoService   = errors.New("the service is not installed")
)

// ServiceName is the helper's name with the system's service manager.
const ServiceName = "kithd"
