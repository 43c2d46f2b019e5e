package backup

import (
	"context"
	"crypto/sha1" //nolint:gosec // Moodle names content by it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// inFlight is how many objects are on their way at a time: small ones take as long as an answer of the
// storage does, and hardly any bandwidth.
const inFlight = 16

// send brings to the bucket what it lacks of some backups, but for their manifests.
func (c *copier) send(ctx context.Context, backups []*outgoing) (err error) {
	objects, files := c.filesOf(backups)
	pool, err := openPool(c.local)
	if err != nil {
		return err
	}
	defer pool.close()
	s := &sender{copier: c, files: files, pool: pool}
	// The lists go first: by them whoever prunes the bucket knows what a copy under way will need.
	for _, o := range objects {
		if path.Base(o.name) == listName {
			if err := s.sendList(ctx, o); err != nil {
				return err
			}
		}
	}
	if c.To.suffix == "" {
		return s.sendAll(ctx, backups, func(object, bool) error { return nil })
	}
	file, err := os.OpenFile(c.local.Path(sealedNewName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	known := newObjectWriter(file)
	waiting := 0
	err = s.sendAll(ctx, backups, func(o object, fresh bool) error {
		if err := known.add(o); err != nil || !fresh {
			return err
		}
		// What a kill would take from the list is sent again.
		if waiting++; waiting < inFlight && o.size < 1<<20 {
			return nil
		}
		waiting = 0
		return known.to.Flush()
	})
	if err := errors.Join(err, known.to.Flush(), file.Sync(), file.Close()); err != nil {
		return err
	}
	return c.local.Rename(sealedNewName, sealedName)
}

// sender sends the objects of some backups.
type sender struct {
	*copier
	files map[string]localFile
	pool  *tree
}

// result is an encrypted object that is in the bucket now.
type result struct {
	object
	fresh bool
}

// sendAll sends what is lacking, many at a time, and tells keep all encrypted objects in order.
func (s *sender) sendAll(ctx context.Context, backups []*outgoing, keep func(o object, fresh bool) error) error {
	return inTurn(ctx, inFlight, func(ctx context.Context, o *ordered[result]) error {
		return s.weigh(ctx, backups, func(v verdict) error {
			switch {
			case v.want == nil && (v.have == nil || v.have.size != v.known.size):
				return nil // it is gone
			case v.want == nil:
				return o.now(result{object: *v.known})
			case v.there() && v.known != nil:
				return o.now(result{object: *v.known})
			case v.there():
				return nil
			}
			want, replace := *v.want, v.have != nil
			return o.later(func(ctx context.Context) (result, error) { return s.sendOne(ctx, want, replace) })
		})
	}, func(r result) error {
		if r.name == "" || !isSealed(r.name) {
			return nil
		}
		return keep(r.object, r.fresh)
	})
}

func (s *sender) sendList(ctx context.Context, o object) error {
	size, there := s.there.size(o.name)
	if there && size == o.size && !s.damaged[o.name] {
		return nil
	}
	if _, err := s.sendOne(ctx, o, there); err != nil {
		return err
	}
	if s.there.files[path.Dir(o.name)] == nil {
		s.there.files[path.Dir(o.name)] = map[string]int64{}
	}
	s.there.files[path.Dir(o.name)][path.Base(o.name)] = o.size
	return nil
}

// sendOne sends one object. What is wrong with the local file is noted, and no result; only what is wrong
// with the bucket is an error.
func (s *sender) sendOne(ctx context.Context, want object, replace bool) (result, error) {
	if s.isBroken(want.name) {
		return result{}, nil
	}
	save := s.To.contents.SaveNew
	if replace {
		save = s.To.contents.SaveSummed
	}
	stored, err := s.transfer(ctx, want, save)
	if errors.Is(err, store.ErrExists) {
		// It has come since the listing was taken.
		stored, err = s.transfer(ctx, want, s.To.contents.SaveSummed)
	}
	if errors.Is(err, errCorrupt) || errors.Is(err, errSource) {
		s.breakOff(want.name, err)
		return result{}, nil
	}
	if err != nil {
		return result{}, err
	}
	s.objects.Add(1)
	s.sent.Add(want.size)
	s.At("sent")
	return result{object{want.name, stored.Size, stored.SHA256}, true}, nil
}

type saveFunc func(ctx context.Context, name string, size int64, content io.Reader) (store.Stored, error)

func (s *sender) transfer(ctx context.Context, want object, save saveFunc) (store.Stored, error) {
	file, proof, err := s.open(ctx, want)
	if err != nil {
		return store.Stored{}, fmt.Errorf("%s %w: %w", want.name, errSource, err)
	}
	defer file.Close()
	proof.add = s.run.Add
	stored, err := save(ctx, want.name, want.size, proof)
	if err != nil {
		s.run.Add(-proof.size)
	}
	return stored, err
}

// open opens the local file that an object is made of.
func (s *sender) open(ctx context.Context, want object) (io.ReadCloser, *proving, error) {
	if f, found := s.files[want.name]; found {
		file, err := s.local.Open(ctx, f.name)
		return file, &proving{from: file, digest: sha256.New(), want: f.SHA256, length: want.size}, err
	}
	content, ok := parseSum([]byte(strings.TrimSuffix(path.Base(want.name), sealedSuffix)))
	if !ok || s.pool.root == nil {
		return nil, nil, os.ErrNotExist
	}
	file, err := s.pool.open(content)
	return file, &proving{from: file, digest: sha1.New(), want: content.String(), length: want.size}, err //nolint:gosec // as above
}

// proving reads a local file, and ends in errCorrupt instead of io.EOF if it is not what it should be.
type proving struct {
	from   io.Reader
	digest hash.Hash
	want   string // digest
	length int64
	size   int64 // that was read
	add    func(int64)
}

func (p *proving) Read(into []byte) (int, error) {
	n, err := p.from.Read(into)
	p.size += int64(n)
	p.add(int64(n))
	p.digest.Write(into[:n])
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return n, fmt.Errorf("%w: %w", errSource, err)
	case p.size > p.length || err != nil && p.size < p.length:
		return 0, fmt.Errorf("%w: %s", errCorrupt, sizeFault(p.size, p.length))
	case err != nil && hex.EncodeToString(p.digest.Sum(nil)) != p.want:
		return 0, errCorrupt
	}
	return n, err
}

func (c *copier) isBroken(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken[name]
}

// breakOff notes a local file that is not what it should be.
func (c *copier) breakOff(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken[name] {
		return
	}
	if c.broken[name] = true; len(c.broken) <= fewFindings {
		c.Logger.Warn("a file of the backups on this host is damaged or missing, and is not copied", "file", strings.TrimSuffix(name, sealedSuffix), "err", err)
	}
	c.bad++
}
