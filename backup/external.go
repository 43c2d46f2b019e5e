package backup

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// objectfsTable is where the plugin tool_objectfs notes where each content file lies.
const objectfsTable = "tool_objectfs_objects"

// locationExternal is a content file that lies in the object storage alone (OBJECT_LOCATION_EXTERNAL in the
// plugin's lib.php; -2 is orphaned, -1 error, 0 local, 1 duplicated).
const locationExternal = 2

// hasTable says whether the site's database has a table of that name.
func (s *session) hasTable(ctx context.Context, name string) (bool, error) {
	found, err := s.column(ctx, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA=? AND TABLE_NAME=?", s.name, name)
	if err != nil {
		return false, fmt.Errorf("look for table %s: %w", name, err)
	}
	return len(found) > 0, nil
}

// externalFiles are the content files that objectfs has moved out of the site's filedir; nil on a site without it.
func (c *creation) externalFiles(ctx context.Context) (files *references, err error) {
	table := c.Site.Table(objectfsTable)
	if there, err := c.session.hasTable(ctx, table); err != nil || !there {
		return nil, err
	}
	rows, err := c.session.QueryContext(ctx, "SELECT contenthash FROM "+quoteName(table)+" WHERE location=?", locationExternal)
	if err != nil {
		return nil, fmt.Errorf("ask objectfs for external files: %w", err)
	}
	defer rows.Close()
	if files, err = newReferences(c.Store.Path(stagingName)); err != nil {
		return nil, err
	}
	for rows.Next() && err == nil {
		var hash []byte
		if err = rows.Scan(&hash); err != nil {
			break
		}
		if s, ok := parseSum(hash); ok {
			err = files.add(reference{blob: blob{sum: s}})
		}
	}
	if err = errors.Join(err, rows.Err()); err != nil {
		files.close()
		return nil, fmt.Errorf("ask objectfs for external files: %w", err)
	}
	return files, nil
}

// sorted gives what each gives, for a caller that takes one after the other.
func (r *references) sorted() iter.Seq2[reference, error] {
	return func(yield func(reference, error) bool) {
		enough := errors.New("enough")
		err := r.each(func(named reference) error {
			if !yield(named, nil) {
				return enough
			}
			return nil
		})
		if err != nil && !errors.Is(err, enough) {
			yield(reference{}, err)
		}
	}
}

// external tells, for content files that are asked for in order, whether they lie in external storage alone.
type external struct {
	next  func() (reference, error, bool)
	stop  func()
	head  sum
	ended bool
}

func newExternal(files *references) (*external, error) {
	if files == nil {
		return &external{ended: true, stop: func() {}}, nil
	}
	e := &external{}
	e.next, e.stop = iter.Pull2(files.sorted())
	return e, e.advance()
}

func (e *external) advance() error {
	named, err, more := e.next()
	e.head, e.ended = named.sum, !more
	return err
}

func (e *external) has(s sum) (bool, error) {
	for !e.ended && compareSums(e.head, s) < 0 {
		if err := e.advance(); err != nil {
			return false, err
		}
	}
	return !e.ended && e.head == s, nil
}

// reckonExternal says why the backup cannot bring the whole site back, if content lies, or may lie, where
// this program cannot read it.
func (c *creation) reckonExternal(f *FiledirContent, objectfs bool) {
	class := c.Site.Config.FileSystemClass
	switch {
	case f.External > 0:
		c.manifest.Incomplete = fmt.Sprintf("%d content files, %s, lie only in the site's object storage (objectfs) and not in this backup", f.External, Bytes(f.ExternalSize))
	case class != "" && c.named == nil:
		c.manifest.Incomplete = "the site keeps its files with " + class + ", and without the database nobody can tell which of them lie elsewhere"
	case class != "" && !objectfs && f.Missing > 0:
		c.manifest.Incomplete = fmt.Sprintf("the site keeps its files with %s, and %d of them are not in filedir: whether they lie elsewhere cannot be told from here", class, f.Missing)
	}
	if c.manifest.Incomplete != "" {
		c.note("%s", c.manifest.Incomplete)
	}
}
