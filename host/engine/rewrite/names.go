package rewrite

// The parts of the name section that are keyed by functions.
const (
	namesFunctions = 1
	namesLocals    = 2
	namesLabels    = 3
)

// rewriteNames moves the functions in the name section to their new indices.
// A section that cannot be read is dropped: the runtime would refuse the whole
// module for it, or size its tables by what it says.
func (m *module) rewriteNames(shift uint32, report *Report) {
	seen := false
	m.remove(func(s section) bool { // a second one is as good as unreadable
		again := s.id == secCustom && s.name == "name" && seen
		seen = seen || s.id == secCustom && s.name == "name"
		if again {
			report.Dropped = append(report.Dropped, s.name)
		}
		return again
	})
	for i := range m.sections {
		s := &m.sections[i]
		if s.id != secCustom || s.name != "name" {
			continue
		}
		body, err := m.names(s.body, shift)
		if err != nil {
			report.Dropped = append(report.Dropped, s.name)
			m.remove(func(s section) bool { return s.id == secCustom && s.name == "name" })
			return
		}
		s.body = body
		return
	}
}

func (m *module) names(b []byte, shift uint32) ([]byte, error) {
	out := make([]byte, 0, len(b)+len(b)/16)
	r := reader{b: b}
	for r.rest() > 0 {
		id := r.byte()
		part := reader{b: r.bytes(uint64(r.u32()))}
		if r.err != nil {
			return nil, r.err
		}
		switch id {
		case 0:
			part.name()
		case namesFunctions:
			for n := part.count(2); n > 0 && part.err == nil; n-- {
				m.functionIndex(&part, shift)
				part.name()
			}
		case namesLocals, namesLabels:
			for n := part.count(2); n > 0 && part.err == nil; n-- {
				m.functionIndex(&part, shift)
				for n := part.count(2); n > 0 && part.err == nil; n-- {
					part.u32()
					part.name()
				}
			}
		default:
			part.pos = len(part.b)
		}
		if err := m.done(&part); err != nil {
			return nil, err
		}
		body := part.rewritten()
		out = append(appendU32(append(out, id), uint32(len(body))), body...)
	}
	return out, r.err
}
