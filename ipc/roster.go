package ipc

import "time"

// Record is one row of "kith roster".
type Record struct {
	ID     string    `json:"id"`
	Type   string    `json:"type"`
	Author string    `json:"author"` // device name or short key; "root"
	Clock  uint64    `json:"clock"`
	Time   time.Time `json:"time"` // the clock read as milliseconds; a hint alone
	Text   string    `json:"text"` // what it says, in one line
	Valid  bool      `json:"valid"`
	Why    string    `json:"why"` // why it counts or not
}

type RosterList struct {
	Schema  int      `json:"schema"`
	Network string   `json:"network"`
	ID      string   `json:"id"`
	Digest  string   `json:"digest"`
	Members int      `json:"members"`
	Records []Record `json:"records"`
}

// RecoverRequest uses the root phrase. Exactly one of Show and Phrase is set.
type RecoverRequest struct {
	Network string   `json:"network"`
	Show    bool     `json:"show"`   // give the phrase that is still held, once
	Phrase  string   `json:"phrase"` // make this device an owner
	Cut     []string `json:"cut"`    // owners to cut, names or keys

	// With Phrase and Cut, as in a DeviceRequest.
	Since  *time.Time `json:"since"`
	DryRun bool       `json:"dry_run"`
	Plan   string     `json:"plan"`
}

type RecoverAnswer struct {
	Schema  int      `json:"schema"`
	Phrase  string   `json:"phrase,omitempty"`
	Owner   bool     `json:"owner"`
	Dropped []string `json:"dropped"`
	Removal *Removal `json:"removal"` // as in a DeviceAnswer
}
