# pg_upgrade from an older major version, with rollouts in every phase.  A TAP test
# because it needs two servers.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Source;
use Test::More;

# upgrade NAME, SQL, LOOK: makes a cluster of the older version with a database "source"
# that the SQL fills, and upgrades it to a cluster of the newer version.  Returns the new
# cluster, or undef if pg_upgrade failed, and the results of the queries LOOK before.
sub upgrade
{
	my ($name, $sql, $look) = @_;
	my $old = PostgreSQL::Test::Cluster->new("${name}_old", install_path => $ENV{OLDER_SERVER});
	$old->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$old->append_conf('postgresql.conf', "$ENV{UPDATE_TIER_OLDER_CONF}\n");
	$old->start;
	$old->safe_psql('postgres', 'CREATE DATABASE source');
	$old->safe_psql('source', $sql);
	my @answers = map { $old->safe_psql('source', $_) } @$look;
	$old->stop;

	my $new = PostgreSQL::Test::Cluster->new("${name}_new", install_path => $ENV{NEWER_SERVER});
	# The setting of checksums must be that of the old cluster.
	my @extra = $new->pg_version >= 18 ? ('--no-data-checksums') : ();
	$new->init(extra => [ '--encoding=UTF8', '--locale=C', @extra ]);
	chdir $new->basedir;
	my $upgraded = PostgreSQL::Test::Utils::system_log(
		"$ENV{NEWER_SERVER}/bin/pg_upgrade", '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir,
		'-b', "$ENV{OLDER_SERVER}/bin", '-B', "$ENV{NEWER_SERVER}/bin",
		'-s', $new->host, '-p', $old->port, '-P', $new->port) == 0;
	note "from " . $old->pg_version . " to " . $new->pg_version;
	unless ($upgraded)
	{
		note grep { /error|fatal/i } split /^/m, slurp_file($_)
		  for glob $new->data_dir . '/pg_upgrade_output.d/*/{log/*.log,*.txt}';
	}
	return ($upgraded ? $new : undef, @answers);
}

my ($new, $next, $before) = upgrade('extension',
	# A soak that ends at a known moment.
	$Source::setup . q{UPDATE update_tier.rollout SET soaks_from = '2100-01-01 00:00:00+00' WHERE version = 'soaking'},
	[ $Source::goes_on, $Source::answers ]);

# Some minor releases write catalog contents that a newer major version only accepts
# from some minor release on.  So the test is skipped if a plain table fails, too.
if (!$new && !(upgrade('plain', 'CREATE TABLE t (a integer)', []))[0])
{
	plan skip_all => 'these two servers cannot upgrade a plain table';
}
ok($new, 'pg_upgrade succeeds') or BAIL_OUT('pg_upgrade failed');
$new->start;

like($before, qr/^b\|soaking\|soaking\|.*\|2100-01-04 00:00:00\+00\|/m, 'there was a rollout in mid-soak');
is($new->safe_psql('source', $Source::answers), $before, 'every function answers as before');
is($new->safe_psql('source', $Source::goes_on), $next, 'and goes on');
my ($result, $out, $err) = $new->psql('source', q{UPDATE app.environments SET update_tier = 'canery'});
like($err, qr/violates check constraint "canary_or_production"/, 'a typo is a violation as before');

$new->stop;
done_testing();
