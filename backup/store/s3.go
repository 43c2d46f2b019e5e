package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// S3Options say where a bucket is and how to get in. What is left out has a default.
type S3Options struct {
	Endpoint string // https://host[:port]; http:// for storage in one's own network; without scheme https
	Region   string // default: what the endpoint's name or the bucket says
	Bucket   string
	Prefix   string // of all object names, with the site; no slash at either end

	AccessKey    config.Secret
	SecretKey    config.Secret
	SessionToken config.Secret // of temporary keys only

	CAFile    string // PEM, trusted beside the host's own authorities
	Bandwidth int64  // bytes a second for all streams together, both ways; 0 is without limit

	// Stall is how long a connection may go without a byte in either direction. Default 60 s.
	Stall time.Duration
	// Now and Sleep replace the clock. Sleep returns the context's error when it ends first.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	// Wrap stands between the S3 protocol and the network.
	Wrap func(http.RoundTripper) http.RoundTripper
}

const defaultStall = time.Minute

// S3 is a store in a bucket of S3-compatible storage. A name is the object prefix/name.
//
// Objects appear whole or not at all, so there are no temporary names, and each request carries the SHA-256
// and MD5 of what it sends: the server refuses content that was damaged on its way.
type S3 struct {
	core    *minio.Core
	options S3Options
	buffers *buffers
	skew    atomic.Int64 // nanoseconds that the storage's clock was ahead of ours in its last answer
	// unconditional is set once the storage has said that it does not know If-None-Match.
	unconditional atomic.Bool
}

// NewS3 describes the bucket; nothing is sent before the first call of a method.
func NewS3(options S3Options) (*S3, error) {
	options.setDefaults()
	endpoint, err := config.ParseEndpoint(options.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("backup.offsite.endpoint: %w", err)
	}
	if options.Prefix != "" { // "" is the whole bucket, as for the sites in it
		if err := validKey(options.Prefix); err != nil {
			return nil, fmt.Errorf("off-site prefix: %w", err)
		}
	}
	if options.AccessKey == "" || options.SecretKey == "" {
		return nil, errors.New("off-site storage: the access key or the secret key is empty; write them into the files of backup.offsite.access_key_file and secret_key_file")
	}
	s := &S3{options: options, buffers: newBuffers(bufferedBytes)}
	transport, err := s.transport()
	if err != nil {
		return nil, err
	}
	s.core, err = minio.NewCore(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(options.AccessKey.Reveal(), options.SecretKey.Reveal(), options.SessionToken.Reveal()),
		// Attempts are counted and spaced by retry, where they can be told from each other.
		Secure: endpoint.Scheme == "https", Region: options.Region, Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("off-site storage: %w", err)
	}
	return s, nil
}

func (o *S3Options) setDefaults() {
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
}

// OptionsOf are those of the bucket that the configuration names, for one site. It reads the key files.
func OptionsOf(settings config.Offsite, site string) (S3Options, error) {
	access, err := config.ReadSecretFile(settings.AccessKeyFile)
	if err != nil {
		return S3Options{}, fmt.Errorf("backup.offsite.access_key_file: %w", err)
	}
	secret, err := config.ReadSecretFile(settings.SecretKeyFile)
	if err != nil {
		return S3Options{}, fmt.Errorf("backup.offsite.secret_key_file: %w", err)
	}
	return S3Options{
		Endpoint: settings.Endpoint, Region: settings.Region, Bucket: settings.Bucket, Prefix: path.Join(settings.Prefix, site),
		AccessKey: access, SecretKey: secret, CAFile: settings.CAFile, Bandwidth: int64(settings.Bandwidth),
	}, nil
}

// Stat describes an object.
func (s *S3) Stat(ctx context.Context, name string) (Info, error) {
	if err := validKey(name); err != nil {
		return Info{}, err
	}
	var info Info
	err := s.retry(ctx, "look at "+name, func(ctx context.Context) error {
		object, err := s.core.StatObject(ctx, s.options.Bucket, s.key(name), minio.StatObjectOptions{})
		info = Info{Name: name, Size: object.Size, ModTime: object.LastModified}
		return err
	})
	return info, err
}

// Remove deletes an object; in a bucket that keeps versions it gets a delete marker, and its content stays
// until the bucket's own rules let it go.
func (s *S3) Remove(ctx context.Context, name string) error {
	if err := validKey(name); err != nil {
		return err
	}
	err := s.retry(ctx, "remove "+name, func(ctx context.Context) error {
		return s.core.RemoveObject(ctx, s.options.Bucket, s.key(name), minio.RemoveObjectOptions{})
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Dirs are the common prefixes at the top.
func (s *S3) Dirs(ctx context.Context) ([]string, error) {
	var names []string
	err := s.list(ctx, "", false, func(object minio.ObjectInfo) error {
		name, isDir := strings.CutSuffix(s.name(object.Key), "/")
		if isDir && !strings.HasPrefix(name, Prefix) {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

// List shows the objects below prefix a page at a time; a page that fails is asked for again.
func (s *S3) List(ctx context.Context, prefix string, each func(Info) error) error {
	if prefix != "" {
		if err := validKey(prefix); err != nil {
			return err
		}
	}
	return s.list(ctx, prefix, true, func(object minio.ObjectInfo) error {
		name := s.name(object.Key)
		if hidden(name) || strings.HasSuffix(name, "/") {
			return nil
		}
		return each(Info{Name: name, Size: object.Size, ModTime: object.LastModified})
	})
}

// list calls each until it fails, and goes on behind the last key after a failure of the storage.
func (s *S3) list(ctx context.Context, prefix string, recursive bool, each func(minio.ObjectInfo) error) error {
	options := minio.ListObjectsOptions{Prefix: s.below(prefix), Recursive: recursive}
	var refused error
	for ended := false; !ended; {
		from := options.StartAfter
		err := s.retry(ctx, "list "+path.Join(s.options.Bucket, options.Prefix), func(ctx context.Context) error {
			for object := range s.core.ListObjectsIter(ctx, s.options.Bucket, options) {
				if object.Err != nil && options.StartAfter > from {
					return nil // Pages were read since: the one that failed has attempts of its own.
				}
				if object.Err != nil {
					return object.Err
				}
				if refused = each(object); refused != nil {
					return nil
				}
				options.StartAfter = max(options.StartAfter, object.Key)
			}
			// An iterator that was cancelled ends like one that is through.
			ended = ctx.Err() == nil
			return ctx.Err()
		})
		if refused != nil || err != nil {
			return errors.Join(refused, err)
		}
	}
	return nil
}

// below is what the keys of all objects below a name begin with; nothing for the whole bucket.
func (s *S3) below(name string) string {
	if key := s.key(name); key != "" {
		return key + "/"
	}
	return ""
}

func (s *S3) key(name string) string { return path.Join(s.options.Prefix, name) }

func (s *S3) name(key string) string {
	return strings.TrimPrefix(strings.TrimPrefix(key, s.options.Prefix), "/")
}

// hidden says whether a part of the name begins with Prefix.
func hidden(name string) bool {
	return strings.HasPrefix(name, Prefix) || strings.Contains(name, "/"+Prefix)
}

// validKey refuses what no directory could hold under the same name, and what a listing could not show.
func validKey(name string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
	if err := valid(name); err != nil || path.Clean(name) != name || name == "." || strings.ContainsFunc(name, bad) {
		return invalid(name)
	}
	return nil
}
