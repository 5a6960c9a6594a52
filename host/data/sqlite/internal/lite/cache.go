package lite

import "container/list"

// cache keeps the statements that were used last.
type cache struct {
	most   int
	byText map[string]*list.Element
	recent list.List // of *entry, the most recent in front
}

type entry struct {
	sql string
	s   *Stmt
}

// Cached returns a statement for sql, prepared now or before, which belongs to
// the connection. It must be cleared after use, and be done with before
// Cached is called again.
func (c *Conn) Cached(sql string) (*Stmt, error) {
	if e := c.cached.byText[sql]; e != nil {
		c.cached.recent.MoveToFront(e)
		return e.Value.(*entry).s, nil
	}
	s, err := c.Prepare(sql)
	if err != nil {
		return nil, err
	}
	if c.cached.byText == nil {
		c.cached.byText = make(map[string]*list.Element)
	}
	c.cached.byText[sql] = c.cached.recent.PushFront(&entry{sql, s})
	for c.cached.recent.Len() > max(c.cached.most, 1) {
		c.cached.remove(c.cached.recent.Back())
	}
	return s, nil
}

func (c *cache) remove(e *list.Element) {
	old := c.recent.Remove(e).(*entry)
	delete(c.byText, old.sql)
	old.s.Finalize()
}

func (c *cache) drop() {
	for c.recent.Len() > 0 {
		c.remove(c.recent.Back())
	}
}
