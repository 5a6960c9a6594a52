package sqlite

import (
	"strings"
	"sync"

	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// schema is what the database had at one schema version. Its tables are read
// when they are first asked for, so that one broken view breaks nothing else.
type schema struct {
	version int64
	names   map[string]bool // of collections, true for views
	effects bool            // there is the host's own table

	mu       sync.Mutex
	tables   map[string]*table
	links    [][2]string     // foreign keys, from child to parent; nil until asked for
	triggers map[string]bool // the tables that have some, read with links
}

// table is a collection.
type table struct {
	name    string
	quoted  string // for SQL
	view    bool
	columns []column
	byName  map[string]int
	key     []int // the primary key's columns, in its order
}

// column is a column of a table.
type column struct {
	name      string
	quoted    string // for SQL, by itself
	qualified string // for SQL, with the table in front: SQLite never takes that for a string
	declared  string // type
	nullable  bool
	generated bool
}

const (
	collectionsSQL = `SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'view')`
	columnsSQL     = `SELECT name, "notnull", pk, hidden, type FROM pragma_table_xinfo(?)`
)

// schemaOf returns the schema that c's transaction sees.
func (s *Store) schemaOf(c *conn) (*schema, error) {
	version, err := c.schemaVersion()
	if err != nil {
		return nil, err
	}
	if known := s.schema.Load(); known != nil && known.version == version {
		return known, nil
	}
	fresh := &schema{version: version, names: make(map[string]bool), tables: make(map[string]*table)}
	err = c.each(collectionsSQL, "", func(row *lite.Stmt) {
		name := string(row.Column(0).Bytes())
		if strings.EqualFold(name, effectsTable) {
			fresh.effects = true
			return
		}
		if name == "" || len(name) >= 7 && strings.EqualFold(name[:7], "sqlite_") {
			return
		}
		fresh.names[name] = string(row.Column(1).Bytes()) == "view"
	})
	if err != nil {
		return nil, err
	}
	s.schema.Store(fresh)
	return fresh, nil
}

// table returns a collection, read through c if it was not asked for before.
func (sc *schema) table(c *conn, name string) (*table, error) {
	view, ok := sc.names[name]
	if !ok {
		return nil, data.UnknownCollection(name)
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if t := sc.tables[name]; t != nil {
		return t, nil
	}
	t := &table{name: name, quoted: quote(name), view: view, byName: make(map[string]int)}
	var places []int64 // in the primary key, from 1, by column
	var rowid bool
	err := c.each(columnsSQL, name, func(row *lite.Stmt) {
		hidden := row.Column(3).Int()
		if hidden == 1 {
			return
		}
		col := column{
			name:      string(row.Column(0).Bytes()),
			declared:  string(row.Column(4).Bytes()),
			nullable:  row.Column(1).Int() == 0,
			generated: hidden == 2 || hidden == 3,
		}
		col.quoted = quote(col.name)
		col.qualified = t.quoted + "." + col.quoted
		place := row.Column(2).Int()
		rowid = rowid || place > 0 && strings.EqualFold(col.declared, "integer")
		t.byName[col.name] = len(t.columns)
		t.columns = append(t.columns, col)
		places = append(places, place)
	})
	if err != nil {
		return nil, err
	}
	for place := int64(1); ; place++ {
		before := len(t.key)
		for i, p := range places {
			if p == place {
				t.key = append(t.key, i)
			}
		}
		if len(t.key) == before {
			break
		}
	}
	if len(t.key) == 1 && rowid {
		t.columns[t.key[0]].nullable = false // another name of the rowid
	}
	sc.tables[name] = t
	return t, nil
}

// names lists columns for an error message.
func (t *table) names(columns []int) string {
	var names []string
	for _, c := range columns {
		names = append(names, t.columns[c].name)
	}
	return strings.Join(names, ", ")
}

// quote makes an identifier of a name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
