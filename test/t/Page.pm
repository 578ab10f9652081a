# Runs the blocks of a page of the documentation as they are printed, and compares what
# psql prints with what stands below them.

package Page;

use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

our $node;    # the server

# What psql prints when it runs this.
sub run_block
{
	my ($db, $sql) = @_;
	my $out = '';
	my $file = $node->basedir . "/block.sql";
	open my $handle, '>', $file or die; print $handle $sql; close $handle;
	IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($db), '-f', $file ], '>', \$out, '2>&1');
	$out =~ s/^psql:.*?:\d+: //mg;
	# From version 19 on an error says for which lock it waited.
	$out =~ s/^CONTEXT:  waiting for \w+ on .*\n//mg;
	$out =~ s/\n+\z/\n/;
	return $out;
}

# The SQL blocks of a text.
sub blocks { return $_[0] =~ /^```sql\n(.*?)^```/gms; }

# The blocks of commands of a text, and what the commands of one of them print.  We are
# the user that sudo would become.
sub consoles { return $_[0] =~ /^```console\n(.*?)^```/gms; }
sub run_console
{
	my ($block) = @_;
	my $out = '';
	my $commands = join "\n", map { s/^sudo -u postgres //r } $block =~ /^\$ (.*)/mg;
	IPC::Run::run([ 'bash', '-euc', $commands ], '<', \undef, '>', \$out, '2>&1');
	return $out;
}

# Run the SQL blocks of a page, each in the database that $database returns; blocks for
# which it returns undef are left out.  PAGE_WRITE=DIRECTORY writes the page there, with
# what psql printed, so that a person can read it.
sub run_page
{
	my ($page, $body, $rest, $database) = @_;
	my $n = 0;
	$body =~ s{^```sql\n(.*?)^```\n(?:(\s*)^```\n(.*?)^```\n)?}{
		my ($all, $sql, $between, $expected) = ($&, $1, $2, $3);
		my $db = $database->($sql);
		if (defined $db)
		{
			my $out = run_block($db, $sql);
			$n++;
			# A block without output on the page must at least raise no error.
			if (defined $expected) { is($out, $expected =~ s/\n+\z/\n/r, "$page, block $n"); }
			else { unlike($out, qr/^(ERROR|FATAL|WARNING)/m, "$page, block $n"); }
			$all = "```sql\n$sql```\n" . (defined $expected ? "$between```\n$out```\n" : '');
		}
		$all;
	}gmse;
	cmp_ok($n, '>', 4, "$page: $n blocks");
	return unless $ENV{PAGE_WRITE};
	open my $handle, '>', "$ENV{PAGE_WRITE}/" . ($page =~ s{.*/}{}r) or die;
	print $handle $body . $rest;
}

1;
