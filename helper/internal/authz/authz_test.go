package authz

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
	"kith.internal/ipc/transport"
)

type storeFunc func() ([]string, error)

func (f storeFunc) Operators() ([]string, error) { return f() }

var operators = storeFunc(func() ([]string, error) { return []string{"1000"}, nil })

func TestAuthorize(t *testing.T) {
	callers := map[string]transport.Identity{
		"root":     {UID: "0", Root: true, Admin: true},
		"admin":    {UID: "501", Admin: true},
		"self":     {UID: "900"},
		"operator": {UID: "1000"},
		"user":     {UID: "1001"},
		"unknown":  {},
	}
	all := "admin operator root self unknown user"
	act := "admin operator root self"
	adm := "admin root self"
	want := map[ipc.Verb]string{
		ipc.VerbVersion:        all,
		ipc.VerbStatus:         all,
		ipc.VerbWatch:          all,
		ipc.VerbPreview:        all,
		ipc.VerbCreate:         act,
		ipc.VerbInvite:         act,
		ipc.VerbJoin:           act,
		ipc.VerbLeave:          act,
		ipc.VerbUp:             act,
		ipc.VerbExitUse:        act,
		ipc.VerbExitOff:        act,
		ipc.VerbExitOffer:      act,
		ipc.VerbExitApprove:    act,
		ipc.VerbRouteAdd:       act,
		ipc.VerbRouteRemove:    act,
		ipc.VerbRouteApprove:   act,
		ipc.VerbRouteAccept:    act,
		ipc.VerbPolicyShow:     act,
		ipc.VerbPolicySet:      act,
		ipc.VerbPolicyReach:    act,
		ipc.VerbShareCreate:    act,
		ipc.VerbShareAccept:    act,
		ipc.VerbShareList:      act,
		ipc.VerbShareApprove:   act,
		ipc.VerbShareLimit:     act,
		ipc.VerbShareRevoke:    act,
		ipc.VerbShareRemove:    act,
		ipc.VerbNearbyOpen:     act,
		ipc.VerbNearbyList:     act,
		ipc.VerbNearbyJoin:     act,
		ipc.VerbNearbyApprove:  act,
		ipc.VerbDown:           act,
		ipc.VerbPing:           act,
		ipc.VerbDeviceList:     act,
		ipc.VerbDeviceRename:   act,
		ipc.VerbDeviceRevoke:   act,
		ipc.VerbDeviceRenew:    act,
		ipc.VerbDeviceApprove:  act,
		ipc.VerbDeviceReadmit:  act,
		ipc.VerbDeviceRole:     act,
		ipc.VerbDeviceTag:      act,
		ipc.VerbRelayOn:        act,
		ipc.VerbRelayOff:       act,
		ipc.VerbForward:        act,
		ipc.VerbPortal:         act,
		ipc.VerbDNSAdd:         act,
		ipc.VerbDNSRemove:      act,
		ipc.VerbDNSList:        all,
		ipc.VerbDNSServe:       act,
		ipc.VerbDNSRepair:      act,
		ipc.VerbDNSStatus:      all,
		ipc.VerbDNSQuery:       all,
		ipc.VerbRoster:         act,
		ipc.VerbRecover:        act,
		ipc.VerbDiag:           act,
		ipc.VerbOperatorAdd:    adm,
		ipc.VerbOperatorRemove: adm,
		ipc.VerbOperatorList:   adm,
		"no/such-verb":         "",
	}
	p := New(Config{Operators: operators, Self: "900"})
	for _, v := range declaredVerbs(t) {
		if _, ok := want[v]; !ok {
			t.Errorf("verb %q has no row", v)
		}
		if !slices.Contains(ipc.Verbs, v) {
			t.Errorf("verb %q is missing in ipc.Verbs", v)
		}
	}
	for v, who := range want {
		var got []string
		for name, id := range callers {
			switch err := p.Authorize(id, v); {
			case err == nil:
				got = append(got, name)
			case ipc.CodeOf(err) != ipc.CodePermission:
				t.Errorf("%s by %s: code %s", v, name, ipc.CodeOf(err))
			}
		}
		slices.Sort(got)
		if d := cmp.Diff(who, strings.Join(got, " ")); d != "" {
			t.Errorf("%s may be used by (-want +got):\n%s", v, d)
		}
	}
}

// declaredVerbs reads the constants themselves, so that a new one cannot be
// forgotten here.
func declaredVerbs(t *testing.T) []ipc.Verb {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../../ipc/verb.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []ipc.Verb
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Verb" {
			return true
		}
		for _, v := range spec.Values {
			s, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, ipc.Verb(s))
		}
		return true
	})
	if len(out) < 22 {
		t.Fatalf("found %d verbs alone", len(out))
	}
	return out
}

func TestRights(t *testing.T) {
	p := New(Config{Operators: operators})
	tests := []struct {
		name string
		id   transport.Identity
		want []ipc.Right
	}{
		{"root", transport.Identity{UID: "0", Root: true}, []ipc.Right{ipc.RightOperate, ipc.RightMachine}},
		{"operator", transport.Identity{UID: "1000"}, []ipc.Right{ipc.RightOperate}},
		{"user", transport.Identity{UID: "1001"}, []ipc.Right{}},
		{"no identity", transport.Identity{}, []ipc.Right{}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, p.Rights(tt.id)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

func TestStoreThatFailsRefuses(t *testing.T) {
	p := New(Config{Operators: storeFunc(func() ([]string, error) { return []string{"1000"}, errors.New("disk") })})
	if err := p.Authorize(transport.Identity{UID: "1000"}, ipc.VerbDown); ipc.CodeOf(err) != ipc.CodePermission {
		t.Errorf("an operator whom nobody can look up: %v", err)
	}
	if err := p.Authorize(transport.Identity{UID: "0", Root: true}, ipc.VerbDown); err != nil {
		t.Errorf("root: %v", err)
	}
}

func TestEmptyUIDIsNobody(t *testing.T) {
	p := New(Config{Operators: storeFunc(func() ([]string, error) { return []string{""}, nil })})
	if err := p.Authorize(transport.Identity{}, ipc.VerbDown); ipc.CodeOf(err) != ipc.CodePermission {
		t.Errorf("no identity passed for an operator: %v", err)
	}
}
