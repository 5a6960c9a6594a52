package engine

// HeapFloor is how many bytes of heap a process that runs guests should hold and
// never touch, so that they take no memory.
//
// Its own heap is a few MiB, and Go's collector runs whenever as much again is
// garbage: many times a second beside a guest that does nothing but trap, and
// each time the others wait for their processor. With a floor that much more
// garbage comes between two collections, whatever else the heap holds.
const HeapFloor = 64 << 20
