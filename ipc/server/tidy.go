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
func fill(v reflect.Value) { fillAs(v, shapeOf(v.Type())) }

func fillAs(v reflect.Value, sh *shape) {
	if !sh.lists {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range sh.fields {
			fillAs(v.Field(f.index), f.shape)
		}
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(v.Elem())
		fillAs(c.Elem(), sh.elem)
		v.Set(c)
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
	case reflect.Slice:
		switch {
		case v.IsNil():
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		case sh.elem.lists:
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(c, v)
			for i := range c.Len() {
				fillAs(c.Index(i), sh.elem)
			}
			v.Set(c)
		}
	}
}

// shape is where values of a type hold slices and maps that we fill.
type shape struct {
	lists  bool
	elem   *shape // of slices and pointers
	fields []field
}

type field struct {
	index int
	shape *shape
}

var shapes sync.Map // reflect.Type -> *shape

func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape)
	}
	sh := &shape{}
	switch t.Kind() {
	case reflect.Map:
		sh.lists = true
	case reflect.Slice:
		sh.lists, sh.elem = true, shapeOf(t.Elem())
	case reflect.Pointer:
		// Into types of ours alone, which never lead back to themselves.
		if t.Elem().PkgPath() == reflect.TypeFor[ipc.Status]().PkgPath() {
			sh.elem = shapeOf(t.Elem())
			sh.lists = sh.elem.lists
		}
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				if fs := shapeOf(f.Type); fs.lists {
					sh.fields = append(sh.fields, field{i, fs})
				}
			}
		}
		sh.lists = len(sh.fields) > 0
	}
	shapes.Store(t, sh)
	return sh
}
