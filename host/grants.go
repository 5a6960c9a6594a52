package host

import (
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/data"
)

// grantsOf is what the configuration grants a worker on the fast path.
func grantsOf(g config.Grants) data.Grants {
	grants := data.Grants{Handles: make(map[string]data.Grant, len(g.Data)), Queries: g.Queries}
	for handle, grant := range g.Data {
		collections := make(map[string]data.Rights, len(grant.Collections))
		for name, r := range grant.Collections {
			collections[name] = data.Rights{
				Read: columnsOf(r.Read), Insert: columnsOf(r.Insert), Update: columnsOf(r.Update),
				Delete: r.Delete, Where: r.Where,
			}
		}
		grants.Handles[handle] = data.Grant{Verbs: grant.Verbs, Collections: collections}
	}
	return grants
}

func columnsOf(c config.Columns) data.Columns {
	if c.All {
		return data.AllColumns()
	}
	return data.SomeColumns(c.Names...)
}

// queriesOf is the operator's queries.
func queriesOf(cfg config.Data) map[string]data.Query {
	queries := make(map[string]data.Query, len(cfg.Queries))
	for name, q := range cfg.Queries {
		queries[name] = data.Query{Handle: q.Handle, SQL: q.SQL}
	}
	return queries
}
