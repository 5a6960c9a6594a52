package data

import (
	"github.com/wasmhost/wasmhost/abi"
)

// Limits of one request, for all stores. They keep a request from costing
// much before it is known to be good.
const (
	MaxMutations  = 1024   // in one Write
	MaxColumns    = 2000   // named anywhere in one list
	MaxConditions = 256    // in Where
	MaxKeys       = 32     // columns of an ordering or a key
	MaxAggregates = 64     // in one query
	MaxValues     = 16_384 // compared with in one query, those of In included
	MaxPattern    = 1024   // bytes of a Like pattern
	MaxParams     = 256    // of a named query
)

// CheckQuery returns an InvalidArgument or LimitExceeded that names the field
// if q cannot be right, whatever the database has.
func CheckQuery(q *abi.Query) error {
	bad := func(format string, args ...any) error {
		return abi.Errorf(abi.InvalidArgument, "query: "+format, args...)
	}
	if q.Named != "" || q.Describe || q.Params != nil {
		return checkOther(q)
	}
	switch {
	case q.Limit < 0:
		return bad("limit: %d is negative", q.Limit)
	case q.Columns != nil && len(q.Columns) == 0:
		return bad("columns: an empty list; leave it out for all columns")
	case q.After != nil && len(q.After) != len(q.OrderBy):
		return bad("after: %d values for %d columns of order_by", len(q.After), len(q.OrderBy))
	case q.Until != nil && len(q.Until) != len(q.OrderBy):
		return bad("until: %d values for %d columns of order_by", len(q.Until), len(q.OrderBy))
	case q.Lookup == nil && q.Key != nil:
		return bad("key: goes with lookup only")
	}
	if q.Lookup != nil && (q.Where != nil || q.OrderBy != nil || q.Limit != 0 || q.After != nil || q.Until != nil || q.Aggregates != nil) {
		return bad("lookup: goes with columns and key only")
	}
	if q.Aggregates != nil && (q.Columns != nil || q.OrderBy != nil || q.Limit != 0 || q.After != nil || q.Until != nil) {
		return bad("aggregates: go with where only")
	}
	if q.Aggregates != nil && len(q.Aggregates) == 0 {
		return bad("aggregates: an empty list")
	}
	if err := checkNames("query: columns", q.Columns, MaxColumns); err != nil {
		return err
	}
	if err := checkNames("query: key", q.Key, MaxKeys); err != nil {
		return err
	}
	order := make([]string, len(q.OrderBy))
	for i, o := range q.OrderBy {
		order[i] = o.Column
	}
	if err := checkNames("query: order_by", order, MaxKeys); err != nil {
		return err
	}
	if len(q.Aggregates) > MaxAggregates {
		return exceeded("query: aggregates", len(q.Aggregates), MaxAggregates)
	}
	for _, a := range q.Aggregates {
		switch a.Func {
		case "count", "exists", "min", "max":
		default:
			return bad("aggregates: unknown function %q; there are count, exists, min and max", Clip(a.Func))
		}
	}
	return checkWhere(q)
}

// checkOther is CheckQuery for what does not ask a collection for rows.
func checkOther(q *abi.Query) error {
	bad := func(text string) error { return abi.Errorf(abi.InvalidArgument, "query: %s", text) }
	rows := q.Columns != nil || q.Where != nil || q.OrderBy != nil || q.Limit != 0 || q.After != nil || q.Until != nil ||
		q.Aggregates != nil || q.Lookup != nil || q.Key != nil
	switch {
	case q.Named == "" && q.Params != nil:
		return bad("params: goes with named only")
	case q.Named == "" && rows:
		return bad("describe: goes with handle and collection only")
	case q.Named != "" && (rows || q.Describe || q.Handle != "" || q.Collection != ""):
		return bad("named: goes with params only")
	case len(q.Params) > MaxParams:
		return exceeded("query: params", len(q.Params), MaxParams)
	}
	for name, v := range q.Params {
		if !scalar(v) {
			return abi.Errorf(abi.InvalidArgument, "query: params: %q has the type %T", Clip(name), v)
		}
	}
	return nil
}

func checkWhere(q *abi.Query) error {
	if len(q.Where) > MaxConditions {
		return exceeded("query: where", len(q.Where), MaxConditions)
	}
	values := 0
	for i := range q.Where {
		c := &q.Where[i]
		bad := func(format string, args ...any) error {
			return abi.Errorf(abi.InvalidArgument, "query: where: column %q, %q: "+format,
				append([]any{Clip(c.Column), Clip(string(c.Op))}, args...)...)
		}
		switch c.Op {
		case abi.Equal, abi.NotEqual, abi.Less, abi.LessOrEqual, abi.Greater, abi.GreaterOrEqual:
			if !scalar(c.Value) {
				return bad("cannot compare with a value of type %T", c.Value)
			}
			values++
		case abi.In:
			list, ok := c.Value.([]any)
			if !ok {
				return bad("wants a list, not %T", c.Value)
			}
			for _, v := range list {
				if !scalar(v) {
					return bad("cannot compare with a value of type %T", v)
				}
			}
			values += len(list)
		case abi.Like:
			pattern, ok := c.Value.(string)
			if !ok && c.Value != nil {
				return bad("wants a string, not %T", c.Value)
			}
			if len(pattern) > MaxPattern {
				return exceeded("query: where: bytes of a pattern", len(pattern), MaxPattern)
			}
			values++
		case abi.IsNull, abi.NotNull:
		default:
			return bad("unknown operator")
		}
	}
	if values > MaxValues {
		return exceeded("query: where: values", values, MaxValues)
	}
	for name, bound := range map[string][]any{"after": q.After, "until": q.Until} {
		for i, v := range bound {
			if !scalar(v) {
				return abi.Errorf(abi.InvalidArgument, "query: %s: value %d has the type %T", name, i, v)
			}
		}
	}
	return nil
}

// CheckMutation is CheckQuery for a mutation. Its errors do not say which one
// of a batch it is.
func CheckMutation(m *abi.Mutation) error {
	if _, ok := needs[m.Verb]; !ok {
		return abi.Errorf(abi.InvalidArgument, "unknown op %q", Clip(string(m.Verb)))
	}
	if m.Expect != nil && m.Verb != abi.Update && m.Verb != abi.Delete {
		return abi.Errorf(abi.InvalidArgument, "expect: goes with update and delete, not with %s", m.Verb)
	}
	for _, list := range []struct {
		field string
		names []string
		most  int
	}{
		{"columns", m.Columns, MaxColumns},
		{"key", m.Key, MaxKeys},
		{"expect", m.Expect, MaxColumns},
	} {
		if list.names != nil && len(list.names) == 0 {
			return abi.Errorf(abi.InvalidArgument, "%s: an empty list; leave it out", list.field)
		}
		if err := checkNames(list.field, list.names, list.most); err != nil {
			return err
		}
	}
	return nil
}

// Split cuts rows into the batches of the mutations.
func Split(ms []abi.Mutation, rows []byte) ([][]byte, error) {
	if len(ms) > MaxMutations {
		return nil, exceeded("write: mutations", len(ms), MaxMutations)
	}
	batches := make([][]byte, len(ms))
	for i := range ms {
		size := ms[i].Size
		switch {
		case size == 0:
			size = int64(len(rows))
		case size < 0 || size > int64(len(rows)):
			return nil, abi.Errorf(abi.InvalidArgument, "write: mutation %d: size: %d of %d bytes", i, size, len(rows))
		}
		batches[i], rows = rows[:size:size], rows[size:]
	}
	if len(rows) > 0 {
		return nil, abi.Errorf(abi.InvalidArgument, "write: %d bytes of rows behind the last mutation", len(rows))
	}
	return batches, nil
}

func checkNames(field string, names []string, most int) error {
	if len(names) > most {
		return exceeded(field, len(names), most)
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			return abi.Errorf(abi.InvalidArgument, "%s: column %q is named twice", field, Clip(name))
		}
		seen[name] = true
	}
	return nil
}

func exceeded(what string, n, most int) error {
	return abi.Errorf(abi.LimitExceeded, "%s: %d, at most %d", what, n, most)
}

func scalar(v any) bool {
	switch v.(type) {
	case nil, bool, int64, float64, string, []byte:
		return true
	}
	return false
}
