package server

import (
	"reflect"
	"sync"

	"kith.internal/ipc"
)

// tidy returns v as it goes out: with its schema's number, and empty lists and
// maps where they are nil, since lists are never null on the wire. What v
// shares with others stays as it is.
func tidy[T any](v T) T {
	rv := reflect.ValueOf(&v).Elem()
	if rv.Kind() == reflect.Struct {
		if f := rv.FieldByName("Schema"); f.IsValid() && f.Kind() == reflect.Int && f.IsZero() {
			f.SetInt(ipc.Schema)
		}
	}
	fill(rv)
	return v
}

// fill works on a value that is ours; what it points to is copied first.
func fill(v reflect.Value) {
	if !holdsLists(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(v.Elem())
		fill(c.Elem())
		v.Set(c)
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
	case reflect.Slice:
		switch {
		case v.IsNil():
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		case holdsLists(v.Type().Elem()):
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(c, v)
			for i := range c.Len() {
				fill(c.Index(i))
			}
			v.Set(c)
		}
	}
}

var listTypes sync.Map // reflect.Type -> bool

// holdsLists tells whether values of t hold a slice or a map that we fill.
func holdsLists(t reflect.Type) bool {
	if known, ok := listTypes.Load(t); ok {
		return known.(bool)
	}
	has := false
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		has = true
	case reflect.Pointer:
		// Only into types of ours; a pointer may lead back to where it came from.
		has = t.Elem().Kind() == reflect.Struct && t.Elem().PkgPath() == reflect.TypeFor[ipc.Status]().PkgPath() && holdsLists(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && holdsLists(f.Type) {
				has = true
			}
		}
	}
	listTypes.Store(t, has)
	return has
}
