package key

import "testing"

func TestExchangeOfSigningKeys(t *testing.T) {
	a, b := New(), NewExchange()
	pub, err := a.Public().Exchange()
	if err != nil {
		t.Fatal(err)
	}
	if pub != a.Exchange().Public() {
		t.Fatal("the converted public key is not that of the converted private key")
	}
	s1, err1 := a.Exchange().Shared(b.Public())
	s2, err2 := b.Shared(pub)
	if err1 != nil || err2 != nil || s1 != s2 {
		t.Fatalf("shared secrets differ: %v %v", err1, err2)
	}
	if _, err := b.Shared(Exchange{}); err == nil {
		t.Fatal("a low-order point was taken")
	}
}

func TestSign(t *testing.T) {
	k := New()
	sig := k.Sign("a", []byte("m"))
	for _, c := range []struct {
		tag, msg string
		want     bool
	}{{"a", "m", true}, {"b", "m", false}, {"a", "n", false}} {
		if got := k.Public().Verify(c.tag, []byte(c.msg), sig[:]); got != c.want {
			t.Errorf("Verify(%q, %q) = %v", c.tag, c.msg, got)
		}
	}
	if p, err := Parse(k.Public().String()); err != nil || p != k.Public() {
		t.Errorf("Parse: %v %v", p, err)
	}
	if _, err := Parse("x"); err == nil {
		t.Error("Parse took a short key")
	}
}
