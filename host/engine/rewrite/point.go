package rewrite

// point is a place in a function where fuel may be charged. Every instruction
// that is not dead belongs to one point, which is passed exactly once whenever
// the instruction is reached (unless a trap or an exception comes between).
//
// A branch that leaves would start a new point behind it, and so one more
// charge on the path that stays. A sub-point avoids that: what it holds is
// charged at its parent, before the branch, and given back at another point on
// the way out.
type point struct {
	cost   int64
	parent int32 // of a sub-point: where it is charged; else none
	refund int32 // of a sub-point: where it is given back
	depth  int32 // how many parents are above a sub-point

	check bool  // look whether the slice is used up
	loop  bool  // the header of a loop
	fixed bool  // a header that is reached by a branch without a point of its own
	entry int32 // of a header: the point in front of the loop
	back  int32 // of a header: the first of the branches back to it
	backs int32 // how many there are
}

// maxBackEdges is how many branches back to a header get a check each. A check
// at a branch is cheaper than one at the header: there the call of the tick
// forces what the loop carries out of registers at every turn. But a header
// with many branches, as where a compiler dispatches from one, would make the
// code large.
const maxBackEdges = 4

// backBranch is an unconditional branch to the header of a loop.
type backBranch struct {
	from int32 // its point
	next int32
}

const none = -1

// maxDepth bounds the walk from a sub-point to the point that it is charged at.
const maxDepth = 32

// points are those of one function, in the order of the code.
type points struct {
	all  []point
	back []backBranch
}

func (p *points) reset() { p.all, p.back = p.all[:0], p.back[:0] }

func (p *points) add() int32 {
	p.all = append(p.all, point{parent: none, back: none})
	return int32(len(p.all) - 1)
}

// sub makes a sub-point of parent for what runs unless the point refund was
// passed. It makes a point of its own, and own says so, where that would get
// too deep.
func (p *points) sub(parent, refund int32) (i int32, own bool) {
	depth := p.all[parent].depth + 1
	i = p.add()
	if depth > maxDepth {
		return i, true
	}
	q := &p.all[i]
	q.parent, q.refund, q.depth = parent, refund, depth
	return i, false
}

// branchBack notes an unconditional branch at the point from to a header.
func (p *points) branchBack(header, from int32) {
	p.back = append(p.back, backBranch{from: from, next: p.all[header].back})
	p.all[header].back = int32(len(p.back) - 1)
	p.all[header].backs++
}

// root is the point where i is charged.
func (p *points) root(i int32) int32 {
	for p.all[i].parent != none {
		i = p.all[i].parent
	}
	return i
}

// settle turns costs into charges. A sub-point's goes to its parent. A loop
// header's goes to the points that lead to it, where all of these charge
// something anyway: then an iteration has one charge, not two.
//
// Points are settled from the last to the first. A parent, and what is given
// back to, comes before its sub-points, and a header before all points of its
// loop, so a cost is complete when its turn comes.
func (p *points) settle() {
	for i := int32(len(p.all)) - 1; i >= 0; i-- {
		q := &p.all[i]
		if q.parent != none {
			p.all[q.parent].cost += q.cost
			p.all[q.refund].cost -= q.cost
			q.cost = 0
			continue
		}
		q.check = q.check || q.loop && (q.fixed || q.backs > maxBackEdges)
		if q.loop && q.cost != 0 && p.movable(i) {
			p.all[q.entry].cost += q.cost
			for b := q.back; b != none; b = p.back[b].next {
				p.late(p.back[b].from, q.cost)
			}
			q.cost = 0
		}
	}
}

func (p *points) movable(header int32) bool {
	q := &p.all[header]
	if q.fixed || q.back == none {
		return false
	}
	for b := q.back; b != none; b = p.back[b].next {
		if p.root(p.back[b].from) == header {
			return false
		}
	}
	return true
}

// late adds to a point that was settled before.
func (p *points) late(i int32, cost int64) {
	for p.all[i].parent != none {
		p.all[p.all[i].refund].cost -= cost
		i = p.all[i].parent
	}
	p.all[i].cost += cost
}
