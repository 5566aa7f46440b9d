package relay

import (
	"encoding/base64"
	"net/http"
)

const (
	protocol    = "kith-relay/1"
	tokenHeader = "Kith-Token"
	maxToken    = 1536 // bytes: a sealed datagram is at most 1,232
)

var encoding = base64.RawURLEncoding.Strict()

// token takes the token out of a request for a link (RFC 9110 §7.8).
func token(r *http.Request) ([]byte, bool) {
	if r.Method != http.MethodGet || r.RequestURI != "/" || !r.ProtoAtLeast(1, 1) {
		return nil, false
	}
	return parseToken(r.Header)
}

func parseToken(h http.Header) ([]byte, bool) {
	up, con, tok := h["Upgrade"], h["Connection"], h[tokenHeader]
	if len(up) != 1 || up[0] != protocol || len(con) != 1 || con[0] != "Upgrade" || len(tok) != 1 {
		return nil, false
	}
	if tok[0] == "" || len(tok[0]) > encoding.EncodedLen(maxToken) {
		return nil, false
	}
	b, err := encoding.DecodeString(tok[0])
	return b, err == nil
}
