package constructs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Image is a container image of a built-in algorithm of SageMaker in one region.
type Image struct {
	// URI is what a training job and a model name.
	URI string
	// Account, Region and Repository are where a role must be allowed to pull it from. An empty region is the stack's.
	Account    string
	Region     string
	Repository string
}

// imageURI is the form of the URI of an image in ECR: a tag or a digest has to say which one, or tomorrow's isn't today's.
var imageURI = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.([a-z0-9.-]+)/([a-z0-9]+(?:[._/-][a-z0-9]+)*)(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})$`)

// OwnImage gives an image of one's own by its URI.
func OwnImage(uri string) (Image, error) {
	part := imageURI.FindStringSubmatch(uri)
	if part == nil {
		return Image{}, fmt.Errorf("%q is no image in ECR: write <account>.dkr.ecr.<region>.%s/<repository>:<tag>, or @sha256: and its digest", uri, registryDomain(""))
	}
	return Image{URI: uri, Account: part[1], Region: part[2], Repository: part[4]}, nil
}

// XGBoostVersions are the versions of the built-in XGBoost that AWS maintains, newest first. A model is served by the image
// that trained it.
var XGBoostVersions = []string{"3.2-0", "3.0-5", "1.7-1"}

// BuiltInImage gives the image of a built-in algorithm of a version in a region.
func BuiltInImage(algorithm, region, version string) (Image, error) {
	if algorithm != "xgboost" {
		return Image{}, fmt.Errorf(`there is no algorithm %q here: use "xgboost"`, algorithm)
	}
	return XGBoostImage(region, version)
}

// XGBoostImage gives the image of the built-in XGBoost of a version in a region.
func XGBoostImage(region, version string) (Image, error) {
	if !slices.Contains(XGBoostVersions, version) {
		return Image{}, fmt.Errorf("there is no built-in XGBoost %q: use one of %s", version, strings.Join(XGBoostVersions, ", "))
	}
	account, ok := xgboostAccounts[region]
	if !ok {
		regions := slices.Sorted(maps.Keys(xgboostAccounts))
		return Image{}, fmt.Errorf("SageMaker's built-in XGBoost is not known in region %q: give the stack one of the regions %s", region, strings.Join(regions, ", "))
	}
	return Image{
		URI:        fmt.Sprintf("%s.dkr.ecr.%s.%s/%s:%s", account, region, registryDomain(region), xgboostRepository, version),
		Account:    account,
		Repository: xgboostRepository,
	}, nil
}

const xgboostRepository = "sagemaker-xgboost"

// registryDomain is the DNS suffix of the partition that the region is in.
func registryDomain(region string) string {
	for prefix, domain := range map[string]string{
		"cn-":      "amazonaws.com.cn",
		"us-iso-":  "c2s.ic.gov",
		"us-isob-": "sc2s.sgov.gov",
		"us-isof-": "csp.hci.ic.gov",
	} {
		if strings.HasPrefix(region, prefix) {
			return domain
		}
	}
	return "amazonaws.com"
}

// xgboostAccounts are AWS's registry accounts of sagemaker-xgboost by region, the same for every version above. Source:
// sagemaker-core/src/sagemaker/core/image_uri_config/xgboost.json in github.com/aws/sagemaker-python-sdk, at commit
// a24812666d258d9d19c9a82d0c9385ca0bd3ba01 (21 August 2026).
var xgboostAccounts = map[string]string{
	"af-south-1":      "510948584623",
	"ap-east-1":       "651117190479",
	"ap-northeast-1":  "354813040037",
	"ap-northeast-2":  "366743142698",
	"ap-northeast-3":  "867004704886",
	"ap-south-1":      "720646828776",
	"ap-south-2":      "628508329040",
	"ap-southeast-1":  "121021644041",
	"ap-southeast-2":  "783357654285",
	"ap-southeast-3":  "951798379941",
	"ap-southeast-4":  "106583098589",
	"ca-central-1":    "341280168497",
	"ca-west-1":       "190319476487",
	"cn-north-1":      "450853457545",
	"cn-northwest-1":  "451049120500",
	"eu-central-1":    "492215442770",
	"eu-central-2":    "680994064768",
	"eu-north-1":      "662702820516",
	"eu-south-1":      "978288397137",
	"eu-south-2":      "104374241257",
	"eu-west-1":       "141502667606",
	"eu-west-2":       "764974769150",
	"eu-west-3":       "659782779980",
	"il-central-1":    "898809789911",
	"me-central-1":    "272398656194",
	"me-south-1":      "801668240914",
	"sa-east-1":       "737474898029",
	"us-east-1":       "683313688378",
	"us-east-2":       "257758044811",
	"us-gov-east-1":   "237065988967",
	"us-gov-west-1":   "414596584902",
	"us-iso-east-1":   "833128469047",
	"us-isob-east-1":  "281123927165",
	"us-isof-east-1":  "108575199400",
	"us-isof-south-1": "124985052026",
	"us-west-1":       "746614075791",
	"us-west-2":       "246618743249",
}
