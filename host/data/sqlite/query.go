package sqlite

import (
	"math"
	"strconv"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// query is a SELECT being written.
type query struct {
	sql    strings.Builder
	params []any
	terms  int // of WHERE
}

// selectSQL writes the SELECT for q, which was checked, and returns it with
// its parameters and the names of its columns.
func selectSQL(t *table, q *abi.Query) (sql string, params []any, names []string, err error) {
	w := &query{}
	w.add("SELECT ")
	if q.Aggregates != nil {
		names, err = w.aggregates(t, q.Aggregates)
	} else {
		names, err = w.columns(t, q.Columns)
	}
	if err != nil {
		return "", nil, nil, err
	}
	w.add(" FROM main.", t.quoted)
	for i := range q.Where {
		if err := w.condition(t, &q.Where[i]); err != nil {
			return "", nil, nil, err
		}
	}
	if err := w.order(t, q); err != nil {
		return "", nil, nil, err
	}
	if q.Limit > 0 {
		w.add(" LIMIT ", w.param(q.Limit))
	}
	return w.sql.String(), w.params, names, nil
}

func (w *query) add(parts ...string) {
	for _, p := range parts {
		w.sql.WriteString(p)
	}
}

// param adds a parameter and returns its name.
func (w *query) param(v any) string {
	if f, ok := v.(float64); ok && math.IsNaN(f) {
		v = nil // as SQLite stores it
	}
	w.params = append(w.params, v)
	return "?" + strconv.Itoa(len(w.params))
}

// term begins a term of WHERE.
func (w *query) term() {
	if w.terms++; w.terms == 1 {
		w.add(" WHERE ")
	} else {
		w.add(" AND ")
	}
}

func (w *query) columns(t *table, wanted []string) ([]string, error) {
	picked, err := t.pick(wanted)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(picked))
	for i, c := range picked {
		if i > 0 {
			w.add(", ")
		}
		w.add(t.columns[c].qualified)
		names[i] = t.columns[c].name
	}
	return names, nil
}

func (w *query) aggregates(t *table, list []abi.Aggregate) ([]string, error) {
	names := make([]string, len(list))
	for i, a := range list {
		if i > 0 {
			w.add(", ")
		}
		if a.Func == "count" {
			w.add("count(*)")
			names[i] = a.Func
			continue
		}
		c, err := t.column(a.Column)
		if err != nil {
			return nil, err
		}
		w.add(a.Func, "(", t.columns[c].qualified, ")")
		names[i] = a.Func + "(" + t.columns[c].name + ")"
	}
	return names, nil
}

// comparisons are the operators that SQL writes with a sign.
var comparisons = map[abi.Op]string{
	abi.Equal:          " = ",
	abi.NotEqual:       " <> ",
	abi.Less:           " < ",
	abi.LessOrEqual:    " <= ",
	abi.Greater:        " > ",
	abi.GreaterOrEqual: " >= ",
}

func (w *query) condition(t *table, c *abi.Condition) error {
	i, err := t.column(c.Column)
	if err != nil {
		return err
	}
	column := t.columns[i].qualified
	w.term()
	switch c.Op {
	case abi.In:
		w.add(column, " IN (")
		list, _ := c.Value.([]any)
		for i, v := range list {
			if i > 0 {
				w.add(", ")
			}
			w.add(w.param(v))
		}
		w.add(")")
	case abi.Like:
		pattern := c.Value
		if s, ok := pattern.(string); ok {
			pattern = globOf(s)
		}
		w.add(column, " GLOB ", w.param(pattern))
	case abi.IsNull:
		w.add(column, " IS NULL")
	case abi.NotNull:
		w.add(column, " IS NOT NULL")
	default:
		w.add(column, comparisons[c.Op], w.param(c.Value))
	}
	return nil
}

// globOf makes a GLOB pattern of a LIKE pattern. GLOB tells upper from lower
// case; LIKE does so only after a pragma that would change what the database's
// own checks and triggers mean.
func globOf(like string) string {
	var b strings.Builder
	for i := range len(like) {
		switch c := like[i]; c {
		case '%':
			b.WriteByte('*')
		case '_':
			b.WriteByte('?')
		case '*', '?', '[':
			b.WriteByte('[')
			b.WriteByte(c)
			b.WriteByte(']')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
