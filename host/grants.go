package host

import (
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/data"
)

// grantsOf is what the configuration grants a worker on the fast path.
func grantsOf(g config.Grants) data.Grants {
	grants := make(data.Grants, len(g.Data))
	for handle, grant := range g.Data {
		collections := make(map[string]data.Rights, len(grant.Collections))
		for name, r := range grant.Collections {
			collections[name] = data.Rights{
				Read: columnsOf(r.Read), Insert: columnsOf(r.Insert), Update: columnsOf(r.Update),
				Delete: r.Delete, Where: r.Where,
			}
		}
		grants[handle] = data.Grant{Verbs: grant.Verbs, Collections: collections}
	}
	return grants
}

func columnsOf(c config.Columns) data.Columns {
	if c.All {
		return data.AllColumns()
	}
	return data.SomeColumns(c.Names...)
}
