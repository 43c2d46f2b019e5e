package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

var (
	errCondition   = errors.New("the condition of the request does not hold")
	errNoUpload    = errors.New("the upload is over")
	errUnsupported = errors.New("the off-site storage does not offer this")
	errRefused     = errors.New("the off-site storage refused the request")
	errStalled     = errors.New("the connection stalled")
)

// requestError is a request that failed. It reads: what was done, what it means, what to do, what was answered.
type requestError struct {
	doing   string
	kind    error
	advice  string
	answer  string
	passing bool // another attempt may succeed
}

func (e *requestError) Error() string {
	text := e.doing + ": " + e.kind.Error()
	if e.advice != "" {
		text += "; " + e.advice
	}
	return text + " (" + e.answer + ")"
}

func (e *requestError) Unwrap() error { return e.kind }

// meanings are the error codes of S3 (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)
// and, with XMinio, of MinIO.
var meanings = map[string]requestError{
	"AccessDenied":                   {kind: ErrDenied, advice: "give the key the rights s3:ListBucket on the bucket and s3:GetObject and s3:PutObject on its objects; removing needs s3:DeleteObject as well"},
	"AllAccessDisabled":              {kind: ErrDenied, advice: "the bucket was closed by its provider"},
	"AccountProblem":                 {kind: ErrDenied, advice: "ask the provider about the account"},
	"InvalidAccessKeyId":             {kind: ErrKey, advice: "compare the file of backup.offsite.access_key_file with what the provider says"},
	"SignatureDoesNotMatch":          {kind: ErrKey, advice: "compare the file of backup.offsite.secret_key_file with what the provider says"},
	"InvalidToken":                   {kind: ErrKey},
	"InvalidTokenId":                 {kind: ErrKey},
	"ExpiredToken":                   {kind: ErrKey, advice: "it has expired"},
	"RequestTimeTooSkewed":           {kind: ErrClock},
	"NoSuchBucket":                   {kind: ErrNoBucket, advice: "correct backup.offsite.bucket, or create the bucket"},
	"InvalidBucketName":              {kind: ErrNoBucket, advice: "correct backup.offsite.bucket"},
	"PermanentRedirect":              {kind: ErrRegion, advice: "set backup.offsite.region and the endpoint of that region"},
	"AuthorizationHeaderMalformed":   {kind: ErrRegion, advice: "set backup.offsite.region"},
	"InvalidRegion":                  {kind: ErrRegion, advice: "set backup.offsite.region"},
	"NoSuchKey":                      {kind: ErrNotFound},
	"NotFound":                       {kind: ErrNotFound},
	"NoSuchUpload":                   {kind: errNoUpload},
	"PreconditionFailed":             {kind: errCondition},
	"QuotaExceeded":                  {kind: ErrFull, advice: fullAdvice},
	"XMinioAdminBucketQuotaExceeded": {kind: ErrFull, advice: fullAdvice},
	"XMinioStorageFull":              {kind: ErrFull, advice: fullAdvice},
	"InsufficientStorage":            {kind: ErrFull, advice: fullAdvice},
	"NotImplemented":                 {kind: errUnsupported},
	"MethodNotAllowed":               {kind: errUnsupported},
	// Damage on the way: the storage compared what it got with the digests that we sent.
	"BadDigest":                   {kind: errRefused, advice: damageAdvice, passing: true},
	"XAmzContentSHA256Mismatch":   {kind: errRefused, advice: damageAdvice, passing: true},
	"XAmzContentChecksumMismatch": {kind: errRefused, advice: damageAdvice, passing: true},
	"IncompleteBody":              {kind: ErrUnreachable, passing: true},
	"RequestTimeout":              {kind: ErrUnreachable, passing: true},
	"SlowDown":                    {kind: ErrUnreachable, advice: "it asks to be spared", passing: true},
	"ConditionalRequestConflict":  {kind: errRefused, passing: true},
	"OperationAborted":            {kind: errRefused, passing: true},
}

const (
	fullAdvice   = "make room there, or raise the quota; nothing was removed"
	damageAdvice = "content was damaged on its way, look for bad memory or a bad network device"
)

// explain says what an error of a request means.
func (s *S3) explain(doing string, err error) *requestError {
	var answer minio.ErrorResponse
	var failure requestError
	switch {
	case errors.Is(err, errCondition):
		failure = requestError{kind: errCondition, answer: err.Error()}
	case errors.As(err, &answer):
		failure = s.meaning(answer)
	case untrusted(err):
		failure = requestError{kind: ErrTLS, answer: err.Error(),
			advice: "compare backup.offsite.endpoint with the name in its certificate, and name the authority that signed it by backup.offsite.ca_file"}
	default:
		failure = requestError{kind: ErrUnreachable, answer: err.Error(), passing: true,
			advice: "check backup.offsite.endpoint, the network and the firewall; the next run goes on where this one ended"}
	}
	failure.doing, failure.answer = doing, s.masked(failure.answer)
	return &failure
}

// meaning explains what the storage answered.
func (s *S3) meaning(answer minio.ErrorResponse) requestError {
	failure, known := meanings[answer.Code]
	skew := time.Duration(s.skew.Load()).Round(time.Second)
	switch {
	case !known && answer.StatusCode == http.StatusInsufficientStorage:
		failure = meanings["InsufficientStorage"]
	case !known && answer.StatusCode == http.StatusNotImplemented:
		failure = meanings["NotImplemented"]
	case !known && strings.Contains(answer.Message, "HTTP request to an HTTPS server"):
		failure = requestError{kind: ErrTLS, advice: "write https:// in backup.offsite.endpoint"}
	case !known && (answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout):
		failure = requestError{kind: ErrUnreachable, advice: "its provider knows more", passing: true}
	case !known:
		failure = requestError{kind: errRefused}
	// An answer without a body says no more than 403.
	case errors.Is(failure.kind, ErrDenied) && skew.Abs() > allowedSkew:
		failure = meanings["RequestTimeTooSkewed"]
	}
	if errors.Is(failure.kind, ErrClock) {
		failure.advice = fmt.Sprintf("the storage's clock is %s ahead of this host's; set the wrong one right, and let NTP keep it (timedatectl)", skew)
		if skew < 0 {
			failure.advice = fmt.Sprintf("this host's clock is %s ahead of the storage's; set the wrong one right, and let NTP keep it (timedatectl)", -skew)
		}
	}
	failure.answer = strings.TrimSpace(answer.Code + ": " + answer.Error())
	return failure
}

// allowedSkew is how far S3 lets a signed request be from its own clock.
const allowedSkew = 15 * time.Minute

// untrusted says whether TLS failed for good.
func untrusted(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		host         x509.HostnameError
		invalid      x509.CertificateInvalidError
		record       tls.RecordHeaderError
		alert        tls.AlertError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) ||
		errors.As(err, &record) || errors.As(err, &alert) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// masked takes out what must not be in a log, should the storage repeat it.
func (s *S3) masked(text string) string {
	for _, secret := range []string{s.options.SecretKey.Reveal(), s.options.AccessKey.Reveal(), s.options.SessionToken.Reveal()} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "********")
		}
	}
	return text
}
