package sqlite

import (
	"regexp"
	"strings"
	"sync"

	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// schema is what the database had at one schema version. Its tables are read
// when they are first asked for, so that one broken view breaks nothing else.
type schema struct {
	version int64
	names   map[string]bool   // of collections, true for views
	effects bool              // there is the host's own table
	virtual map[string]string // the module of each virtual table, in small letters

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
	virtualSQL     = `SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND rootpage = 0`
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
	fresh := &schema{version: version, names: make(map[string]bool), virtual: make(map[string]string), tables: make(map[string]*table)}
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
	err = c.each(virtualSQL, "", func(row *lite.Stmt) {
		var module string
		if m := usingModule.FindSubmatch(row.Column(1).Bytes()); m != nil {
			module = strings.ToLower(string(m[1]))
		}
		fresh.virtual[string(row.Column(0).Bytes())] = module
	})
	if err != nil {
		return nil, err
	}
	fresh.hideShadows()
	s.schema.Store(fresh)
	return fresh, nil
}

// hideShadows takes away the tables that a vec0 table keeps its data in. SQLite
// takes some of them for ordinary ones, NAME_vector_chunks00 for one, as
// sqlite-vec 0.1.9 does not claim them all. What stands in there is read as memory
// of a known size, so no worker may write it.
func (sc *schema) hideShadows() {
	for table, module := range sc.virtual {
		if module != "vec0" {
			continue
		}
		for name := range sc.names {
			if len(name) > len(table) && strings.EqualFold(name[:len(table)], table) && vec0Shadow.MatchString(name[len(table):]) {
				delete(sc.names, name)
			}
		}
	}
}

var vec0Shadow = regexp.MustCompile(`(?i)^_(chunks|rowids|info|auxiliary|(vector_chunks|metadatachunks|metadatatext)[0-9]+)$`)

// usingModule finds the module in the statement that made a virtual table. SQLite
// keeps it as it was written, from the name on. Whoever tricks this, with a name
// that has USING in it, gets the limits of another module.
var usingModule = regexp.MustCompile(`(?is)\bUSING\s+"?(\w+)`)

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
