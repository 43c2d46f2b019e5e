package update

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"
)

// maxPlugin bounds what a plugin may unpack to, in bytes: whole languages and libraries come with some.
const maxPlugin = 1 << 30

func (w *rewriter) zip(ctx context.Context, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return fmt.Errorf("read %s: %w", file.Name(), err)
	}
	made := map[string]bool{}
	total := uint64(0)
	for _, entry := range archive.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if total += entry.UncompressedSize64; entry.UncompressedSize64 > maxTree || w.prefix != "" && total > maxPlugin {
			return fmt.Errorf("%s would unpack to more than %d bytes", file.Name(), maxPlugin)
		}
		if err := w.zipEntry(entry, made); err != nil {
			return err
		}
	}
	return nil
}

func (w *rewriter) zipEntry(entry *zip.File, made map[string]bool) error {
	name, err := w.name(entry.Name)
	if err != nil {
		return err
	}
	mode := entry.Mode()
	if !mode.IsDir() && !mode.IsRegular() {
		return fmt.Errorf("the archive holds %q, which is neither a file nor a directory", entry.Name)
	}
	if err := w.parents(name, made); err != nil {
		return err
	}
	if mode.IsDir() {
		return w.makeDir(name, made)
	}
	size := entry.UncompressedSize64
	content, err := entry.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	if err := w.to.WriteHeader(w.header(name, tar.TypeReg, int64(size), mode&0o111 != 0, entry.Modified)); err != nil { //nolint:gosec // bounded by the caller
		return err
	}
	// Exactly as much as is announced; the reader compares the checksum at its end.
	if _, err := io.CopyN(w.to, content, int64(size)); err != nil { //nolint:gosec // bounded by the caller
		return fmt.Errorf("read %q: %w", entry.Name, err)
	}
	if n, err := content.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %q: it is not what the archive says of it: %w", entry.Name, err)
	}
	return nil
}

// parents makes the directories that a zip file need not name.
func (w *rewriter) parents(name string, made map[string]bool) error {
	if name == "." || made[path.Dir(name)] {
		return nil
	}
	if dir := path.Dir(name); dir != "." {
		if err := w.parents(dir, made); err != nil {
			return err
		}
		return w.makeDir(dir, made)
	}
	return nil
}

func (w *rewriter) makeDir(name string, made map[string]bool) error {
	if made[name] {
		return nil
	}
	made[name] = true
	return w.to.WriteHeader(w.header(name, tar.TypeDir, 0, false, time.Unix(0, 0)))
}
