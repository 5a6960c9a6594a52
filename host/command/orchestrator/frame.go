package orchestrator

import (
	"bufio"
	"errors"
	"io"
)

var (
	errTooLarge = errors.New("the reply is too large")
	errMore     = errors.New("more than one line")
)

// readFrame returns the next line without its end, which stays valid until the
// next use of r or scratch. It never holds more than most bytes and what r
// buffers. A line that more has followed already is errMore: there was one
// request, and which of them is its reply cannot be known.
func readFrame(r *bufio.Reader, scratch []byte, most int) (line, grown []byte, err error) {
	line, err = r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		grown = scratch[:0]
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(grown)+len(line) > most {
				return nil, grown, errTooLarge
			}
			grown = append(grown, line...)
			line, err = r.ReadSlice('\n')
		}
		if err == nil {
			grown = append(grown, line...)
			line = grown
		}
	} else {
		grown = scratch
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil, grown, io.ErrUnexpectedEOF
	case err != nil:
		return nil, grown, err
	case len(line)-1 > most:
		return nil, grown, errTooLarge
	case r.Buffered() > 0:
		return nil, grown, errMore
	}
	return line[:len(line)-1], grown, nil
}
