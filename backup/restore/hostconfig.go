package restore

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
)

// hostFile is a file of the host's configuration (of nginx, PHP, certificates, …) as the backup has it.
type hostFile struct {
	Name  string // below the root directory, without the first slash
	Dir   bool
	State fileState
}

// fileState is how a file of the host compares with the one in the backup.
type fileState string

const (
	same      fileState = "same"
	missing   fileState = "missing"
	different fileState = "different"
	elsewhere fileState = "elsewhere" // it lies behind a link of this host, and is left alone
)

// hostConfig compares the configuration in the backup with that of the host. Only what the backup was told
// to take counts, and never config.php, which belongs to the code.
func (o *Options) hostConfig(ctx context.Context) (files []hostFile, err error) {
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	err = o.eachConfigFile(ctx, func(header *tar.Header, content io.Reader) error {
		state, err := compare(root, header, content)
		files = append(files, hostFile{cleanName(header), header.Typeflag == tar.TypeDir, state})
		return err
	})
	return files, err
}

// eachConfigFile goes through the archive of the configuration, as far as it is the host's.
func (o *Options) eachConfigFile(ctx context.Context, each func(*tar.Header, io.Reader) error) error {
	file, err := o.Reader.Open(ctx, backup.FileOf(backup.Config))
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewReader(file)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the configuration in the backup: %w", err)
		}
		name := cleanName(header)
		if err := plausible(header); err != nil {
			return err
		}
		if o.isHostConfig(name) {
			if err := each(header, archive); err != nil {
				return fmt.Errorf("configuration file /%s: %w", name, err)
			}
		}
	}
	_, err = io.Copy(io.Discard, file) // to its end, where it is proven
	return err
}

// maxHostFile bounds one file of configuration, in bytes: it is held in memory to be compared.
const maxHostFile = 8 << 20

// plausible refuses entries that no archive of configuration has. A forged one could bring a link along, and a file
// behind it.
func plausible(header *tar.Header) error {
	var wrong string
	switch {
	case path.IsAbs(header.Name) || cleanName(header) == "." && path.Clean(header.Name) != ".":
		wrong = "its path leads out of the tree"
	case header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeDir && header.Typeflag != tar.TypeSymlink && header.Typeflag != tar.TypeLink:
		wrong = "it is no file, directory or link"
	case header.Typeflag == tar.TypeReg && header.Size > maxHostFile:
		wrong = fmt.Sprintf("it has %d bytes", header.Size)
	default:
		return nil
	}
	return fmt.Errorf("%w: the entry %q of the configuration in the backup: %s", tree.ErrHostile, header.Name, wrong)
}

// cleanName is the name of an entry below the root directory; "." for one that would lead out of it.
func cleanName(header *tar.Header) string {
	name := path.Clean(strings.TrimSuffix(header.Name, "/"))
	if !fs.ValidPath(name) {
		return "."
	}
	return name
}

// isHostConfig says whether a path may come back from an archive: it must lie where configuration is
// backed up from. An archive that somebody has forged could else bring an account or a key along.
func (o *Options) isHostConfig(name string) bool {
	full := "/" + name
	if name == "." || path.Base(full) == "config.php" && o.Reader.Manifest.Moodle.Code == path.Dir(full) {
		return false
	}
	return slices.ContainsFunc(o.configPaths(), func(pattern string) bool {
		for at := full; at != "/"; at = path.Dir(at) {
			if fits, err := path.Match(pattern, at); err == nil && fits {
				return true
			}
		}
		return false
	})
}

func (o *Options) configPaths() []string {
	if len(o.ConfigPaths) > 0 {
		return o.ConfigPaths
	}
	return backup.DefaultConfigPaths()
}

// compare says how an entry of the archive and what is on the host differ. Owners and modes do not count:
// packages change them, and a restore leaves what is there alone.
func compare(root *os.Root, header *tar.Header, content io.Reader) (fileState, error) {
	name := cleanName(header)
	if behindLink(root, name) {
		return elsewhere, nil
	}
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return missing, nil
	}
	if err != nil {
		return "", err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return stateOf(info.IsDir()), nil
	case tar.TypeSymlink:
		target, err := root.Readlink(name)
		return stateOf(err == nil && target == header.Linkname), nil
	case tar.TypeLink:
		other, err := root.Lstat(path.Clean(header.Linkname))
		return stateOf(err == nil && os.SameFile(info, other)), nil //nolint:nilerr // what is not there is not the same
	}
	if !info.Mode().IsRegular() || info.Size() != header.Size {
		return different, nil
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	ours, err := digest(file)
	if err != nil {
		return "", err
	}
	theirs, err := digest(content)
	return stateOf(bytes.Equal(ours, theirs)), err
}

// behindLink says whether a path leads through a link, or through something that is no directory. Nothing is written
// there: what an archive says of /etc/nginx must not end up in /etc/cron.d.
func behindLink(root *os.Root, name string) bool {
	for at := path.Dir(name); at != "."; at = path.Dir(at) {
		if info, err := root.Lstat(at); err == nil && !info.IsDir() || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

func stateOf(equal bool) fileState {
	if equal {
		return same
	}
	return different
}

func digest(from io.Reader) ([]byte, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, from)
	return sum.Sum(nil), err
}
