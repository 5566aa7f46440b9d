package typecheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath, Dir   string
	GoFiles, CgoFiles []string
	ImportMap         map[string]string
	Standard          bool
}

const ours = "kith.internal/"

// TestOtherSystems type-checks the app and all it imports, cgo faked; only
// complaints about our own packages count.
func TestOtherSystems(t *testing.T) {
	for _, goos := range []string{"windows", "darwin"} {
		t.Run(goos, func(t *testing.T) {
			n := 0
			for _, err := range check(t, goos, &n) {
				t.Error(err)
			}
			if n < 8 {
				t.Errorf("only %d packages of ours were seen", n)
			}
		})
	}
}

func check(t *testing.T, goos string, seen *int) (complaints []error) {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Dir,GoFiles,CgoFiles,ImportMap,Standard", "kith.internal/app", "kith.internal/app/ctl")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	fset, done := token.NewFileSet(), map[string]*types.Package{"unsafe": types.Unsafe}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return complaints
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath == "unsafe" {
			continue
		}
		mine := strings.HasPrefix(p.ImportPath, ours)
		if mine {
			*seen++
		}
		complain := func(err error) {
			if mine {
				complaints = append(complaints, err)
			}
		}
		conf := types.Config{
			Importer: importer{done, p.ImportMap}, FakeImportC: true, IgnoreFuncBodies: !mine,
			Sizes: types.SizesFor("gc", "amd64"), Error: complain,
		}
		done[p.ImportPath], _ = conf.Check(p.ImportPath, fset, parse(fset, p, complain), nil)
	}
}

func parse(fset *token.FileSet, p pkg, complain func(error)) (files []*ast.File) {
	for _, f := range append(p.GoFiles, p.CgoFiles...) {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, f), nil, parser.SkipObjectResolution)
		if err != nil {
			complain(err)
		}
		if file != nil {
			files = append(files, file)
		}
	}
	return files
}

// importer finds what was checked before: go list names dependencies first.
type importer struct {
	done map[string]*types.Package
	as   map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if to, ok := i.as[path]; ok {
		path = to
	}
	if p := i.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s was not checked", path)
}
