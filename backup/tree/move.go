package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// Move is one step of an exchange: Live gives way to Staged and goes to Kept. It is decided before anything
// is done, written down, and says all that is needed to find out afterwards how far it has come: Staged and
// Kept lie in directories of ours, where nobody else makes or removes anything. Paths are relative to Dir,
// which is absolute and without links, and no link is followed on the way to them.
type Move struct {
	Dir    string `json:"dir"`
	Live   string `json:"live"`
	Staged string `json:"staged,omitempty"` // empty: nothing takes the place of Live
	Kept   string `json:"kept,omitempty"`   // empty for a link
	Fresh  bool   `json:"fresh,omitempty"`  // there was no Live when this was decided
	// Inode is that of Staged if it changes places with Live in one step.
	Inode uint64 `json:"inode,omitempty"`
	// Old and New are the targets of Live if it is a link that is made to lead elsewhere.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
}

// State is how far an exchange has come.
type State string

// The states of an exchange.
const (
	Undone  State = "undone"
	Done    State = "done"
	Between State = "between"
	either  State = "" // of a move that has nothing to move
)

// strayName is added to the name of what was kept for something that somebody made in its place while the
// exchange was under way. It is kept too.
const strayName = ".stray"

// position is what is where.
type position struct {
	live, staged, kept bool
	exchanged, waiting bool // Inode is at Live, at Staged
	target             string
}

func (m Move) position(base dir) (p position, err error) {
	look := func(path string, inode *bool) (there bool) {
		if path == "" || err != nil {
			return false
		}
		parent, name := split(path)
		var at dir
		if at, err = base.walk(parent); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return false
		}
		defer at.close()
		var status unix.Stat_t
		if status, err = at.stat(name); errors.Is(err, fs.ErrNotExist) {
			err = nil
			return false
		}
		if m.New != "" && inode == &p.exchanged && err == nil {
			p.target, err = at.readlink(name)
		}
		*inode = m.Inode != 0 && status.Ino == m.Inode
		return err == nil
	}
	var ignored bool
	p.live, p.staged, p.kept = look(m.Live, &p.exchanged), look(m.Staged, &p.waiting), look(m.Kept, &ignored)
	return p, err
}

// state is how far a move has come, by what is where.
func (m Move) state(p position) (State, error) {
	switch {
	case m.New != "":
		switch p.target {
		case m.New:
			return Done, nil
		case m.Old:
			return Undone, nil
		}
		return Between, m.lost("the link leads to %q", p.target)
	case m.Inode != 0 && p.exchanged:
		return pick(p.staged, Between, Done), nil
	case m.Inode != 0 && p.waiting:
		return pick(p.kept, Between, Undone), nil
	case m.Inode != 0:
		return Between, m.lost("neither there nor in %s is the new tree", m.Staged)
	case m.Staged == "" && !p.kept:
		return pick(p.live, Undone, either), nil
	case m.Staged == "":
		return Done, nil
	case p.staged:
		return pick(p.kept, Between, Undone), nil
	case !p.live:
		return Between, m.lost("there is nothing, and nothing in %s", m.Staged)
	}
	return Done, nil
}

func pick(condition bool, yes, no State) State {
	if condition {
		return yes
	}
	return no
}

func (m Move) lost(format string, arguments ...any) error {
	return fmt.Errorf("%s: %w: %s", path.Join(m.Dir, m.Live), ErrLost, fmt.Sprintf(format, arguments...))
}

// StateOf looks how far an exchange has come, and changes nothing. ErrLost says that it is none of the
// states that Do and Undo leave, also if they are killed.
func StateOf(moves []Move) (State, error) {
	seen := map[State]bool{}
	for _, m := range moves {
		base, err := absolute(m.Dir)
		if err != nil {
			return Between, fmt.Errorf("look at the exchange: %w", err)
		}
		p, err := m.position(base)
		base.close()
		var s State
		if err == nil {
			s, err = m.state(p)
		}
		if err != nil {
			return Between, fmt.Errorf("look at the exchange: %w", err)
		}
		seen[s] = true
	}
	switch {
	case seen[Between], seen[Done] && seen[Undone]:
		return Between, nil
	case seen[Done]:
		return Done, nil
	}
	return Undone, nil
}

// Do makes the moves that are not made yet, and returns when they are on the disk. It can be broken off at
// any point, also by the end of the process, and repeated, or undone. at is called before each move; it may be nil.
func Do(ctx context.Context, moves []Move, at func(i int)) error {
	for i, m := range moves {
		if err := m.make(ctx, i, at, Move.do); err != nil {
			return fmt.Errorf("exchange %s: %w", path.Join(m.Dir, m.Live), explain(err))
		}
	}
	return settle(moves)
}

// Undo takes back, last first, what Do has done or half done; it can be broken off and repeated likewise.
func Undo(ctx context.Context, moves []Move, at func(i int)) error {
	for i, m := range slices.Backward(moves) {
		if err := m.make(ctx, i, at, Move.undo); err != nil {
			return fmt.Errorf("undo the exchange of %s: %w", path.Join(m.Dir, m.Live), explain(err))
		}
	}
	return settle(moves)
}

func (m Move) make(ctx context.Context, i int, at func(int), step func(Move, dir, position) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if at != nil {
		at(i)
	}
	base, err := absolute(m.Dir)
	if err != nil {
		return err
	}
	defer base.close()
	p, err := m.position(base)
	if err != nil {
		return err
	}
	return step(m, base, p)
}

// settle flushes the directories of all moves, and those that lead to them.
func settle(moves []Move) error {
	flushed := map[string]bool{}
	for _, m := range moves {
		for _, end := range []string{m.Live, m.Staged, m.Kept} {
			if end == "" {
				continue
			}
			for at := path.Dir(end); !flushed[m.Dir+"/"+at]; at = path.Dir(at) {
				flushed[m.Dir+"/"+at] = true
				if err := flushDir(m.Dir, at); err != nil {
					return fmt.Errorf("flush the exchange: %w", err)
				}
			}
		}
	}
	return nil
}

func flushDir(base, relative string) error {
	from, err := absolute(base)
	if err != nil {
		return err
	}
	defer from.close()
	d, err := from.walk(relative)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing of it has been needed
	}
	if err != nil {
		return err
	}
	defer d.close()
	return d.sync()
}
