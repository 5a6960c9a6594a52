package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// Grant is what a worker may do on one handle. It has two forms, verbs on all
// of the handle's collections:
//
//	primary = ["read", "delete"]
//
// or a table for each collection, where one that is not named does not exist
// for the worker:
//
//	[workers.NAME.grants.data.primary.chat_messages]
//	read = ["id", "content"]
//	update = ["content"]
//	delete = true
//	where = [["room_id", "=", "general"]]
type Grant struct {
	Verbs       []string // read, insert, update and delete
	Collections map[string]Rights
}

// Rights is what a worker may do on one collection.
type Rights struct {
	Read, Insert, Update Columns
	Delete               bool
	Where                []abi.Condition // the rows that there are for the worker
}

// Columns is true for all columns, or a list.
type Columns struct {
	All   bool
	Names []string
}

var (
	verbs     = []string{"delete", "insert", "read", "update"}
	operators = []abi.Op{abi.Equal, abi.NotEqual, abi.Less, abi.LessOrEqual, abi.Greater, abi.GreaterOrEqual, abi.In, abi.Like, abi.IsNull, abi.NotNull}
)

// grants says which verbs are granted on any collection, sorted.
func (g Grant) grants() []string {
	found := map[string]bool{}
	for _, verb := range g.Verbs {
		found[verb] = true
	}
	for _, r := range g.Collections {
		for _, verb := range r.grants() {
			found[verb] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (r Rights) grants() []string {
	var found []string
	for i, granted := range []bool{r.Delete, r.Insert.given(), r.Read.given(), r.Update.given()} {
		if granted {
			found = append(found, verbs[i])
		}
	}
	return found
}

func (c Columns) given() bool { return c.All || len(c.Names) > 0 }

// addGrant checks a grant in either form.
func (l *layer) addGrant(path []string, value any, source string) {
	tables, ok := value.(map[string]any)
	if !ok {
		list, ok := l.parseList(&leaf{kind: kindList, oneOf: verbs}, value)
		if !ok {
			l.problem(path, source, "is %s; allowed: a list of %s, or a table for each collection", show(value), strings.Join(verbs, ", "))
			return
		}
		l.set(path, Grant{Verbs: list.([]string)}, source)
		return
	}
	if len(tables) == 0 {
		l.problem(path, source, "names no collection")
	}
	grant := Grant{Collections: make(map[string]Rights, len(tables))}
	for _, name := range sortedKeys(tables) {
		if name == "" {
			l.problem(path, source, "has a collection without a name")
			continue
		}
		grant.Collections[name] = l.rights(append(slices.Clip(path), name), tables[name], source)
	}
	l.set(path, grant, source)
}

// rights reads the table of one collection.
func (l *layer) rights(path []string, value any, source string) (r Rights) {
	table, ok := value.(map[string]any)
	if !ok {
		l.problem(path, source, "is %s; allowed: a table with %s and where", show(value), strings.Join(verbs, ", "))
		return r
	}
	before := len(l.problems)
	for _, name := range sortedKeys(table) {
		below, value := append(slices.Clip(path), name), table[name]
		switch name {
		case "read":
			r.Read = l.columns(below, value, source)
		case "insert":
			r.Insert = l.columns(below, value, source)
		case "update":
			r.Update = l.columns(below, value, source)
		case "delete":
			if r.Delete, ok = value.(bool); !ok {
				l.problem(below, source, "is %s; allowed: true or false", show(value))
			}
		case "where":
			r.Where = l.conditions(below, value, source)
		default:
			allowed := append(slices.Clone(verbs), "where")
			hint := ""
			if near := nearest(name, allowed); near != "" {
				hint = fmt.Sprintf(" (did you mean %s?)", near)
			}
			l.problem(below, source, "unknown key%s; allowed here: %s", hint, strings.Join(allowed, ", "))
		}
	}
	if len(l.problems) == before && len(r.grants()) == 0 {
		l.problem(path, source, "grants nothing; set one of %s", strings.Join(verbs, ", "))
	}
	return r
}

func (l *layer) columns(path []string, value any, source string) Columns {
	if all, ok := value.(bool); ok {
		return Columns{All: all}
	}
	names, ok := l.parseList(&leaf{kind: kindList}, value)
	if !ok || len(names.([]string)) == 0 {
		l.problem(path, source, "is %s; allowed: true for all columns, or a list of columns", show(value))
		return Columns{}
	}
	return Columns{Names: names.([]string)}
}

// conditions reads a list of [column, operator, value].
func (l *layer) conditions(path []string, value any, source string) []abi.Condition {
	list, _ := value.([]any)
	var conditions []abi.Condition
	for _, term := range list {
		c, ok := condition(term)
		if !ok {
			l.problem(path, source, "has the condition %s; allowed: [column, operator, value] with an operator of %s", show(term), showOps())
			return nil
		}
		conditions = append(conditions, c)
	}
	if len(conditions) == 0 {
		l.problem(path, source, `is %s; allowed: a list of conditions, such as [["room_id", "=", "general"]]`, show(value))
	}
	return conditions
}

func condition(term any) (c abi.Condition, ok bool) {
	parts, _ := term.([]any)
	if len(parts) < 2 || len(parts) > 3 {
		return c, false
	}
	column, isText := parts[0].(string)
	op, _ := parts[1].(string)
	c = abi.Condition{Column: column, Op: abi.Op(op)}
	if !isText || column == "" || !slices.Contains(operators, c.Op) {
		return c, false
	}
	if c.Op == abi.IsNull || c.Op == abi.NotNull {
		return c, len(parts) == 2
	}
	if len(parts) != 3 {
		return c, false
	}
	c.Value = parts[2]
	switch c.Op {
	case abi.In:
		list, ok := c.Value.([]any)
		return c, ok && len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool { return !constant(v) })
	case abi.Like:
		_, isText := c.Value.(string)
		return c, isText && constant(c.Value)
	}
	return c, constant(c.Value)
}

// constant says whether a column can be compared with a value.
func constant(v any) bool {
	switch v := v.(type) {
	case bool, int64:
		return true
	case float64:
		return !math.IsNaN(v) && !math.IsInf(v, 0)
	case string:
		return !strings.ContainsRune(v, 0)
	}
	return false
}

func showOps() string {
	names := make([]string, len(operators))
	for i, op := range operators {
		names[i] = string(op)
	}
	return strings.Join(names, " ")
}

// plain is a grant as it is written.
func (g Grant) plain() any {
	if g.Collections == nil {
		return g.Verbs
	}
	tables := make(map[string]any, len(g.Collections))
	for name, r := range g.Collections {
		table := map[string]any{}
		for verb, columns := range map[string]Columns{"read": r.Read, "insert": r.Insert, "update": r.Update} {
			if columns.All {
				table[verb] = true
			} else if len(columns.Names) > 0 {
				table[verb] = columns.Names
			}
		}
		if r.Delete {
			table["delete"] = true
		}
		var where []any
		for _, c := range r.Where {
			term := []any{c.Column, string(c.Op)}
			if c.Value != nil {
				term = append(term, c.Value)
			}
			where = append(where, term)
		}
		if where != nil {
			table["where"] = where
		}
		tables[name] = table
	}
	return tables
}
