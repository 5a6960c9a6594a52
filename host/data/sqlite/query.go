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
func selectSQL(t *seen, q *abi.Query) (sql string, params []any, names []string, err error) {
	w := &query{}
	w.add("SELECT ")
	exists := len(q.Aggregates) == 1 && q.Aggregates[0].Func == "exists"
	switch {
	case exists: // by itself it ends at the first row
		names = []string{"exists"}
		w.add("EXISTS (SELECT 1")
	case q.Aggregates != nil:
		names, err = w.aggregates(t, q.Aggregates)
	default:
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
	w.within(t)
	if err := w.order(t, q); err != nil {
		return "", nil, nil, err
	}
	if q.Limit > 0 {
		w.add(" LIMIT ", w.param(q.Limit))
	}
	if exists {
		w.add(")")
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

// within writes the term for the rows that are granted.
func (w *query) within(t *seen) {
	if t.filter != "" {
		w.term()
		w.add(t.filter)
	}
}

func (w *query) columns(t *seen, wanted []string) ([]string, error) {
	picked, err := t.pickReadable(wanted)
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

func (w *query) aggregates(t *seen, list []abi.Aggregate) ([]string, error) {
	names := make([]string, len(list))
	for i, a := range list {
		if i > 0 {
			w.add(", ")
		}
		switch a.Func {
		case "count":
			w.add("count(*)")
			names[i] = a.Func
			continue
		case "exists":
			w.add("count(*) > 0")
			names[i] = a.Func
			continue
		}
		c, err := t.readable(a.Column)
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

func (w *query) condition(t *seen, c *abi.Condition) error {
	i, err := t.readable(c.Column)
	if err != nil {
		return err
	}
	w.term()
	return w.compare(t.columns[i].qualified, c, func(v any) (string, error) { return w.param(v), nil })
}

// compare writes a condition. value makes SQL of what is compared with.
func (w *query) compare(column string, c *abi.Condition, value func(any) (string, error)) error {
	var values []any
	switch c.Op {
	case abi.In:
		values, _ = c.Value.([]any)
	case abi.Like:
		values = []any{c.Value}
		if s, ok := c.Value.(string); ok {
			values[0] = globOf(s)
		}
	case abi.IsNull:
		w.add(column, " IS NULL")
		return nil
	case abi.NotNull:
		w.add(column, " IS NOT NULL")
		return nil
	default:
		values = []any{c.Value}
	}
	texts := make([]string, len(values))
	for i, v := range values {
		var err error
		if texts[i], err = value(v); err != nil {
			return err
		}
	}
	switch c.Op {
	case abi.In:
		w.add(column, " IN (", strings.Join(texts, ", "), ")")
	case abi.Like:
		w.add(column, " GLOB ", texts[0])
	default:
		w.add(column, comparisons[c.Op], texts[0])
	}
	return nil
}

// literal writes a value of the operator's as SQL.
func literal(v any) (string, error) {
	switch v := v.(type) {
	case bool:
		return strconv.FormatInt(boolInt(v), 10), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'e', -1, 64), nil
		}
	case string:
		if !strings.Contains(v, "\x00") { // where SQLite would stop reading
			return "'" + strings.ReplaceAll(v, "'", "''") + "'", nil
		}
	}
	return "", abi.Errorf(abi.Internal, "a grant has a condition with the value %#v", v)
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
