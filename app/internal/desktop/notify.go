package desktop

import "errors"

// Errors of what a desktop may lack.
var (
	ErrNoClipboard = errors.New("this session has no clipboard that Kith can write to")
	ErrNoService   = errors.New("the service is not installed")
	ErrNoAsking    = errors.New("this system cannot ask for an administrator's word")
	ErrDeclined    = errors.New("the administrator's word was not given")
	ErrRefused     = errors.New("the system refused it")
)

// ServiceName is the helper's name with the system's service manager.
const ServiceName = "kithd"
