package update

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// archive is a release as a file of this host.
type archive struct {
	path string
	sum  string // SHA-256; empty for that in the file beside it
}

func (a *archive) words() string { return "the archive " + a.path }

// resolve cannot tell what is in the archive before it is unpacked.
func (a *archive) resolve(context.Context, *update) (bool, error) { return false, nil }

func (a *archive) write(ctx context.Context, u *update, to *tar.Writer) error {
	file, err := openChecked(ctx, a.path, a.sum, true)
	if err != nil {
		return err
	}
	defer file.Close()
	w := &rewriter{to: to, like: u.staging.like, strip: true}
	if strings.HasSuffix(a.path, ".zip") {
		return w.zip(ctx, file)
	}
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", a.path, err)
	}
	return w.tar(ctx, unpacked)
}

func (*archive) finish(_ context.Context, u *update) error {
	if u.checkout != nil {
		u.plan.note("the new code is no checkout any more: an archive brings no history. The old one with its .git is removed when the update has come to its end; the backup keeps it")
	}
	return nil
}

// errNoSum is an archive that nobody vouches for.
var errNoSum = errors.New("its SHA-256 is not known")

// openChecked opens a file and proves it. The sum is given, or stands in a file beside it, as sha256sum(1) writes it. What
// is handed out has been read: nobody can put another file in its place in between, though it must not be written to.
func openChecked(ctx context.Context, path, sum string, needed bool) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the administrator names it
	if err != nil {
		return nil, refusedSource(fmt.Sprintf("the archive cannot be read: %v", err), "put it there, or name another one")
	}
	if sum == "" {
		if sum, err = sumBeside(path); err != nil && needed {
			_ = file.Close()
			return nil, refusedSource(fmt.Sprintf("%s is not used: %v", path, err), "download the .sha256 of the release as well and put it beside the archive, or set update.sha256")
		}
	}
	if sum == "" {
		return file, nil
	}
	digest := sha256.New()
	if err := errors.Join(copyWith(ctx, digest, file), rewind(file)); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if found := hex.EncodeToString(digest.Sum(nil)); !strings.EqualFold(found, sum) {
		_ = file.Close()
		return nil, refusedSource(fmt.Sprintf("%s has the SHA-256 %s and should have %s", path, found, sum), "download it again, from https://download.moodle.org")
	}
	return file, nil
}

func rewind(file *os.File) error {
	_, err := file.Seek(0, io.SeekStart)
	return err
}

func copyWith(ctx context.Context, to io.Writer, from io.Reader) error {
	buffer := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := from.Read(buffer)
		if _, failed := to.Write(buffer[:n]); failed != nil {
			return failed
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func sumBeside(archive string) (string, error) {
	content, err := os.ReadFile(archive + ".sha256") //nolint:gosec // beside what the administrator names
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoSum
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(content)) {
		// "SUM  NAME", "SUM *NAME", or as BSD and moodle.org write it "SHA256 (NAME) = SUM".
		sum, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if before, after, bsd := strings.Cut(line, ") = "); bsd {
			_, name, _ = strings.Cut(before, "(")
			sum = strings.TrimSpace(after)
		}
		name = strings.TrimLeft(name, " *")
		if _, err := hex.DecodeString(sum); err == nil && len(sum) == 2*sha256.Size && (name == "" || path.Base(name) == path.Base(archive)) {
			return sum, nil
		}
	}
	return "", fmt.Errorf("%w: %s.sha256 does not tell it", errNoSum, archive)
}
