package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// One MinIO serves all tests of the package that want one; it starts with the first of them.
var storage struct {
	once   sync.Once
	server *stand.MinIOServer
	err    error
}

func minioServer(t *testing.T) *stand.MinIOServer {
	t.Helper()
	stand.Need(t, stand.MinIO)
	storage.once.Do(func() {
		var dir string
		var remove func() error
		if dir, remove, storage.err = stand.MakeTempDir(); storage.err != nil {
			return
		}
		server.stop = append(server.stop, remove)
		if storage.server, storage.err = stand.StartMinIO(context.Background(), dir, stand.MinIOOptions{}); storage.err == nil {
			server.stop = append([]func() error{storage.server.Close}, server.stop...)
		}
	})
	if storage.err != nil {
		t.Fatal(storage.err)
	}
	return storage.server
}

// bucketOptions are those of a new bucket of such a kind, with a key of such rights; nil for all.
func bucketOptions(t *testing.T, kind stand.BucketOptions, rights []string) store.S3Options {
	t.Helper()
	s := minioServer(t)
	name := "b" + strings.ToLower(rand.Text())
	must(t, s.MakeBucket(t.Context(), name, kind))
	return withKey(t, store.S3Options{Endpoint: s.Endpoint, Bucket: name, Prefix: "copies/lms", AccessKey: config.Secret(s.AccessKey), SecretKey: config.Secret(s.SecretKey),
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}, rights)
}

func withKey(t *testing.T, options store.S3Options, rights []string) store.S3Options {
	t.Helper()
	if rights != nil {
		access, secret, err := minioServer(t).Key(t.Context(), options.Bucket, rights...)
		must(t, err)
		options.AccessKey, options.SecretKey = config.Secret(access), config.Secret(secret)
	}
	return options
}

func placeOn(t *testing.T, options store.S3Options, sealed bool) *Offsite {
	t.Helper()
	s3, err := store.NewS3(options)
	must(t, err)
	return placeIn(t, s3, sealed)
}

// TestOffsite goes through the life of copies on real storage: by a key that cannot delete, in buckets that
// keep versions and such that let nobody remove them.
func TestOffsite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind   stand.BucketOptions
		sealed bool
	}{"plain": {}, "encrypted": {sealed: true}, "versioned": {kind: stand.BucketOptions{Versioned: true}, sealed: true}, "locked": {kind: stand.BucketOptions{Locked: true}}} {
		t.Run(name, func(t *testing.T) {
			options := bucketOptions(t, test.kind, stand.RightsToAdd)
			to := placeOn(t, options, test.sealed)
			_, o := newSite(t, stand.SiteOptions{})
			settle(&o)
			o.Logger = nil
			old := freshBlob(t, o, "soon to go")
			first := create(t, o)
			removeBlob(t, o, old)
			must(t, os.WriteFile(filepath.Join(o.Site.Dir, "new.php"), []byte("<?php"), 0o644))
			second := create(t, o)
			copied := copyAll(t, copyOptions(o, to))
			if !slices.Equal(copied.Backups, []string{second.ID, first.ID}) {
				t.Errorf("%+v", copied)
			}
			copiesIntact(t, offsiteOptions(o, to))
			blind := offsiteOptions(o, NewOffsite("test", to.objects, nil, nil)) // without the private key
			copiesIntact(t, blind)
			if listed, err := ShowOffsite(t.Context(), o.Config.Dir, "lms", Latest, to); err != nil || listed.ID != second.ID || !listed.Good() || !listed.Verified {
				t.Errorf("%+v, %v", listed, err)
			}

			// The bucket damages an object: by its size, by its content.
			objects := []string{path.Join(poolName, old.path()) + to.suffix, objectOf(second, mustFile(t, second, "code.tar.zst"), to.suffix)}
			for _, name := range objects {
				replace(t, options, name, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
			}
			if found, _ := verifyCopies(t, blind); !slices.Equal(found, []string{objects[1] + " flipped", objects[0] + " flipped"}) {
				t.Errorf("found %v", found)
			}
			if copied := copyAll(t, copyOptions(o, to)); copied.Objects != 2 {
				t.Errorf("to mend two objects %+v was sent", copied)
			}
			copiesIntact(t, blind)
			tryPruning(t, o, options, to, first, second, old)
		})
	}
}

// replace changes an object past the code under test.
func replace(t *testing.T, options store.S3Options, name string, change func([]byte) []byte) {
	t.Helper()
	all, err := store.NewS3(withRoot(t, options))
	must(t, err)
	file, err := all.Open(t.Context(), name)
	must(t, err)
	defer file.Close()
	var content strings.Builder
	_, err = io.Copy(&content, file)
	must(t, err)
	changed := change([]byte(content.String()))
	_, err = all.Save(t.Context(), name, int64(len(changed)), strings.NewReader(string(changed)))
	must(t, err)
}

func withRoot(t *testing.T, options store.S3Options) store.S3Options {
	s := minioServer(t)
	options.AccessKey, options.SecretKey = config.Secret(s.AccessKey), config.Secret(s.SecretKey)
	return options
}

// tryPruning removes the first copy, by a key that may.
func tryPruning(t *testing.T, o Options, options store.S3Options, to *Offsite, first, second *Manifest, old sum) {
	t.Helper()
	prune := OffsitePruneOptions{Dir: o.Config.Dir, Site: "lms", From: to, Keep: config.Keep{Last: 1}, Clock: func() time.Time { return time.Now().Add(72 * time.Hour) }}
	var refused *RefusedError
	if _, err := PruneOffsite(t.Context(), prune, noRun{}); !errors.As(err, &refused) || !errors.Is(err, store.ErrDenied) {
		t.Errorf("without the right: %v", err)
	}
	copiesIntact(t, offsiteOptions(o, to))
	prune.From = placeOn(t, withKey(t, options, stand.RightsToRemove), false)
	prune.DryRun = true
	rehearsed, err := PruneOffsite(t.Context(), prune, nil)
	must(t, err)
	prune.DryRun = false
	pruning, err := PruneOffsite(t.Context(), prune, noRun{})
	must(t, err)
	if pruning.Blobs != 1 || pruning.Decisions[0].Keep() || rehearsed.Blobs != 1 || rehearsed.Bytes != pruning.Bytes {
		t.Errorf("%+v, rehearsed %+v", pruning, rehearsed)
	}
	left, err := ListOffsite(t.Context(), o.Config.Dir, "lms", to)
	must(t, err)
	if len(left) != 1 || left[0].ID != second.ID || !left[0].Good() {
		t.Errorf("left are %+v", left)
	}
	if _, err := to.objects.Stat(t.Context(), path.Join(poolName, old.path())+to.suffix); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what nothing needs is still there: %v", err)
	}
	shared := objectOf(second, mustFile(t, second, databaseName), to.suffix)
	if _, err := to.objects.Stat(t.Context(), shared); err != nil || path.Dir(shared) != first.ID {
		t.Errorf("what is shared is gone: %v", err)
	}
	must(t, os.RemoveAll(filepath.Join(o.Config.Dir, "lms", first.ID)))
	copyAll(t, copyOptions(o, to))
	copiesIntact(t, offsiteOptions(o, to))

	// A copy under way keeps what it has begun to bring.
	list := path.Join(first.ID, listName)
	content := read(t, filepath.Join(o.Config.Dir, "lms", second.ID, listName))
	_, err = to.objects.Save(t.Context(), list, int64(len(content)), strings.NewReader(content))
	must(t, err)
	if pruning, err = PruneOffsite(t.Context(), prune, noRun{}); err != nil || pruning.Blobs != 0 {
		t.Errorf("beside a copy under way: %+v, %v", pruning, err)
	}
	// Nobody knows what a copy needs whose list or manifest is damaged.
	for _, name := range []string{path.Join(second.ID, manifestName), objectOf(second, mustFile(t, second, listName), "")} {
		replace(t, options, name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		if _, err := PruneOffsite(t.Context(), prune, noRun{}); !errors.As(err, &refused) {
			t.Errorf("%s is damaged: %v", name, err)
		}
		replace(t, options, name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	}
	copiesIntact(t, offsiteOptions(o, to))
}

// TestCopyToStorageThatFails: whatever is wrong with the storage is said in plain words, and the copies that
// were there are as they were.
func TestCopyToStorageThatFails(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	settle(&o)
	o.Logger = nil
	options := bucketOptions(t, stand.BucketOptions{}, nil)
	first := create(t, o)
	copyAll(t, copyOptions(o, placeOn(t, options, true)))
	for range 30 {
		freshBlob(t, o, rand.Text())
	}
	big := strings.Repeat(rand.Text(), 400_000)
	freshBlob(t, o, big)
	create(t, o)
	proxy, err := stand.StartProxy(minioServer(t).Address)
	must(t, err)
	t.Cleanup(func() { must(t, proxy.Close()) })
	for name, test := range map[string]struct {
		change func(*store.S3Options)
		want   error
	}{
		"read only": {func(o *store.S3Options) { *o = withKey(t, *o, []string{"s3:ListBucket", "s3:GetObject"}) }, store.ErrDenied},
		"wrong key": {func(o *store.S3Options) { o.SecretKey = "wrong" }, store.ErrKey},
		"no bucket": {func(o *store.S3Options) { o.Bucket = "none-such" }, store.ErrNoBucket},
		"cut": {func(o *store.S3Options) {
			o.Endpoint = "http://" + proxy.Address
			proxy.Set(stand.Fault{Harm: stand.Cut, After: 2 << 20, Times: 1000})
		}, store.ErrUnreachable},
		"gone": {func(o *store.S3Options) { o.Endpoint = "http://127.0.0.1:1" }, store.ErrUnreachable},
	} {
		broken := options
		test.change(&broken)
		_, err := Copy(t.Context(), copyOptions(o, placeOn(t, broken, true)), noRun{})
		if !errors.Is(err, test.want) || strings.Contains(err.Error(), options.SecretKey.Reveal()) {
			t.Errorf("%s: %v", name, err)
		}
		state, _, err := loadCopied(t.Context(), store.NewDirectory(SiteDir(o.Config.Dir, "lms")), "test")
		if err != nil || !slices.Equal(state.Copied, []string{first.ID}) {
			t.Errorf("%s: known are %+v, %v", name, state, err)
		}
		i, err := TakeInventory(t.Context(), o.Config.Dir, "lms", o.Clock())
		if must(t, err); i.Offsite.Pending < int64(len(big)) {
			t.Errorf("%s: %d bytes are said to be pending", name, i.Offsite.Pending)
		}
		copiesIntact(t, offsiteOptions(o, placeOn(t, options, true)))
	}
	// Connections that are cut some times are nothing but slow.
	options.Endpoint = "http://" + proxy.Address
	proxy.Set(stand.Fault{Harm: stand.Cut, After: 1 << 20, Times: 3})
	to := placeOn(t, options, true)
	if copied := copyAll(t, copyOptions(o, to)); copied.Whole != 2 {
		t.Errorf("%+v", copied)
	}
	copiesIntact(t, offsiteOptions(o, to))
	for upload := range minioServer(t).Client().ListIncompleteUploads(t.Context(), options.Bucket, "", true) {
		t.Errorf("an upload is left over: %s, %v", upload.Key, upload.Err)
	}
}

// TestRestoreByHandFromBucket types what RESTORE.txt of a copy says, with age and the plain tools. That a real
// site comes back whole from such files is for TestRestoreByHand to tell, and for the long form of this one.
func TestRestoreByHandFromBucket(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Age)
	site, o := newSite(t, stand.SiteOptions{Fixture: proof()})
	settle(&o)
	create(t, o)
	must(t, os.WriteFile(filepath.Join(site.CodeDir, "new.php"), []byte("<?php"), 0o644))
	manifest := create(t, o)
	options := bucketOptions(t, stand.BucketOptions{}, stand.RightsToAdd)
	to := placeOn(t, options, true)
	copyAll(t, copyOptions(o, to))
	must(t, os.RemoveAll(o.Config.Dir)) // the host has burnt down

	place := stand.TempDir(t)
	key := filepath.Join(place, "key.txt")
	must(t, os.WriteFile(key, []byte(testIdentity.String()+"\n"), 0o600))
	fetchBucket(t, options, filepath.Join(place, "fetched"))
	text := read(t, filepath.Join(place, "fetched", manifest.ID, restoreName))
	script := "set -eu\n" + commands(text)
	restored := site.Database + "_b"
	for name, now := range map[string]string{
		"BACKUP": place + "/backup", "POOL": place + "/pool", "CODE": place + "/code", "DATAROOT": place + "/data", "FILEDIR": place + "/data/filedir",
		"DATABASE": restored, "BUCKET": place + "/fetched", "IDENTITY": key,
	} {
		line := lineOf(t, script, name+"=")
		script = strings.Replace(script, line, name+"="+quoteShell(now), 1)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", script)
	db := database(t)
	must(t, os.WriteFile(filepath.Join(place, ".my.cnf"), []byte("[client]\nsocket="+db.Socket+"\nuser="+db.RootUser()+"\n"), 0o600))
	shell.Env = append(os.Environ(), "HOME="+place)
	if output, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, output, script)
	}
	t.Cleanup(func() { _ = db.Exec(context.Background(), "DROP DATABASE "+quoteName(restored)) })
	sameTrees(t, site.CodeDir, place+"/code", nil)
	sameTrees(t, site.Dataroot, place+"/data", []string{"cache", "localcache", "temp", "sessions", "trashdir", "lock", "climaintenance.html"})
	sameDatabases(t, site.Database, restored, manifest)
}

func lineOf(t *testing.T, text, begin string) string {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, begin) {
			return line
		}
	}
	t.Fatalf("no line begins with %s:\n%s", begin, text)
	return ""
}

// fetchBucket brings all objects of the site here, as any S3 client would.
func fetchBucket(t *testing.T, options store.S3Options, dir string) {
	t.Helper()
	client := minioServer(t).Client()
	for object := range client.ListObjects(t.Context(), options.Bucket, minio.ListObjectsOptions{Prefix: options.Prefix + "/", Recursive: true}) {
		must(t, object.Err)
		name := filepath.Join(dir, strings.TrimPrefix(object.Key, options.Prefix+"/"))
		must(t, client.FGetObject(t.Context(), options.Bucket, object.Key, name, minio.GetObjectOptions{}))
	}
}
