package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// small files are read by every verification.
const small = 1 << 20

// storedFile is one file on disk with all the backups that it belongs to: archives that did not change are
// hard links, and are read once.
type storedFile struct {
	name string // below the site's directory
	want File
	of   []*subject
}

// inode tells files apart that have several names. The digest is in it for the case that two manifests
// should want different things of one file.
type inode struct {
	device, number uint64
	digest         string
}

// readFiles compares the sizes of all files of the backups, and reads those whose turn it is.
func (v *verifier) readFiles(ctx context.Context) error {
	var order []*storedFile
	files := map[inode]*storedFile{}
	for _, s := range v.subjects {
		if s.manifest == nil {
			continue
		}
		for _, want := range s.manifest.Files {
			var status syscall.Stat_t
			name := path.Join(s.id, want.Name)
			if what := v.measure(name, want, &status); what != "" {
				v.spoil(s, want.Name, what)
				continue
			}
			key := inode{uint64(status.Dev), status.Ino, want.SHA256} //nolint:unconvert // differs between architectures
			if files[key] == nil {
				files[key] = &storedFile{name: name, want: want}
				order = append(order, files[key])
			}
			files[key].of = append(files[key].of, s)
		}
	}
	return v.readStored(ctx, order)
}

func (v *verifier) measure(name string, want File, status *syscall.Stat_t) string {
	err := syscall.Lstat(v.store.Path(name), status)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "missing"
	case err != nil:
		return "unreadable: " + err.Error()
	case status.Mode&syscall.S_IFMT != syscall.S_IFREG:
		return "unreadable: it is no regular file"
	}
	return sizeFault(status.Size, want.Size)
}

// sizeFault says in what way a size is wrong; nothing if it is right.
func sizeFault(is, want int64) string {
	switch {
	case is < want:
		return fmt.Sprintf("truncated: it has %d of %d bytes", is, want)
	case is > want:
		return fmt.Sprintf("extended: it has %d bytes, not %d", is, want)
	}
	return ""
}

func (v *verifier) readStored(ctx context.Context, files []*storedFile) error {
	var chosen []*storedFile
	total := v.poolShare()
	for _, f := range files {
		if v.isDue(f) {
			chosen = append(chosen, f)
			total += f.want.Size
		}
	}
	v.run.SetTotal(total)
	workers, inner := errgroup.WithContext(ctx)
	workers.SetLimit(max(2, min(4, runtime.GOMAXPROCS(0))))
	for _, f := range chosen {
		workers.Go(func() error {
			what, err := readBack(inner, v.store, f.name, f.want, v.run.Add)
			if err != nil {
				return err
			}
			v.countRead(f.want.Size)
			v.judge(f, what)
			return nil
		})
	}
	return workers.Wait()
}

// isDue says whether a file is to be read now. Lists are read always: they say what the pool must hold.
func (v *verifier) isDue(f *storedFile) bool {
	if f.want.Name == listName {
		return true
	}
	wanted, before := false, false
	for _, s := range f.of {
		wanted = wanted || s.wanted
		_, bad := v.old.Bad[s.id][f.want.Name]
		before = before || bad
	}
	newest := v.subjects[len(v.subjects)-1]
	return wanted && (v.ReadData || before || f.want.Size <= small || f.of[len(f.of)-1] == newest || v.inShare(firstByte(f.want.SHA256)))
}

func (v *verifier) inShare(first byte) bool { return int(first)*Shares>>8 == v.report.Share }

func firstByte(digest string) byte {
	var first byte
	_, _ = fmt.Sscanf(digest[:min(2, len(digest))], "%02x", &first)
	return first
}

// poolShare estimates how much of the pool will be read.
func (v *verifier) poolShare() (bytes int64) {
	for _, s := range v.subjects {
		if s.wanted && s.manifest != nil && s.manifest.Filedir != nil {
			bytes = max(bytes, s.manifest.Filedir.Size)
		}
	}
	if !v.ReadData {
		bytes /= Shares
	}
	return bytes
}

// judge holds what was read against all backups that the file belongs to.
func (v *verifier) judge(f *storedFile, what string) {
	if what == "" {
		if f.want.Name == listName {
			v.addSource(f)
		}
		return
	}
	for _, s := range f.of {
		v.spoil(s, f.want.Name, what)
	}
}
