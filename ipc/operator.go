package ipc

type OperatorRequest struct {
	User string `json:"user"` // login name or numeric ID
}

type OperatorList struct {
	Schema    int      `json:"schema"`
	Operators []string `json:"operators"`
}
