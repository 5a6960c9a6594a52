package sdk

import (
	"github.com/wasmhost/wasmhost/abi"
)

// Host is the functions of the contract, as package abi names and documents
// them. In a guest they are the module's imports; package sdktest has them in
// memory. They keep no slice that they are given.
type Host interface {
	RowsOpen(request []byte) abi.Result
	RowsNext(cursor uint32, buf []byte) abi.Result
	RowsClose(cursor uint32) abi.Result
	RowsWrite(head, rows, buf []byte) abi.Result
	Command(request, buf []byte) abi.Result
	Progress(done, total int64) abi.Result
	Log(level abi.Level, text []byte)
	Pending(buf []byte) abi.Result
	TaskReturn(value []byte) abi.Result
}

// firstAnswer is the size of the buffer for answers to begin with.
const firstAnswer = 4 << 10

// port is a task's way to its host, with the buffers that all calls share.
type port struct {
	host   Host
	req    []byte // what is sent: a request or a head
	rows   []byte // several batches behind one another
	answer []byte // what came back
}

// buffer returns the room for an answer.
func (p *port) buffer() []byte {
	if p.answer == nil {
		p.answer = make([]byte, firstAnswer)
	}
	return p.answer
}

// answered returns what a call wrote to buf, or what did not fit there. It is
// valid until the next call.
func (p *port) answered(call string, r abi.Result, buf []byte) ([]byte, error) {
	switch r.Code() {
	case abi.OK:
		if uint64(r.N()) > uint64(len(buf)) {
			return nil, abi.Errorf(abi.Internal, "%s: the host claims %d bytes in a buffer of %d", call, r.N(), len(buf))
		}
		return buf[:r.N()], nil
	case abi.BufferTooSmall:
		b := make([]byte, r.N())
		return b, p.pending(call, b)
	}
	return nil, p.failure(call, r)
}

// answeredShared is answered for the buffer that all calls share, which it
// lets grow so that the next answer of this size fits.
func (p *port) answeredShared(call string, r abi.Result) ([]byte, error) {
	b, err := p.answered(call, r, p.answer)
	if err == nil && len(b) > len(p.answer) {
		p.answer = b
	}
	return b, err
}

// done is the error of a call that answers nothing.
func (p *port) done(call string, r abi.Result) error {
	if r.Code() == abi.OK {
		return nil
	}
	return p.failure(call, r)
}

// failure makes an error of a call that failed, with the host's text.
func (p *port) failure(call string, r abi.Result) error {
	text := make([]byte, r.N())
	if len(text) > 0 {
		if err := p.pending(call, text); err != nil {
			return err
		}
	}
	if len(text) == 0 {
		return abi.Errorf(r.Code(), "%s: the host gave no reason", call)
	}
	return &abi.Error{Code: r.Code(), Message: string(text)}
}

// pending fills b with what the host holds for the guest.
func (p *port) pending(call string, b []byte) error {
	r := p.host.Pending(b)
	if r.Code() != abi.OK || uint64(r.N()) != uint64(len(b)) {
		return abi.Errorf(abi.Internal, "%s: the host announced %d bytes, then pending gave code %s and %d bytes",
			call, len(b), r.Code(), r.N())
	}
	return nil
}
