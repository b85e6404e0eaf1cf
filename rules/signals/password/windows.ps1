# Days until the password of each local account expires. Changes nothing.
#
# An account whose password never expires has no row. Neither has one that is disabled
# or expired itself, since nobody signs in with it; except the account that remedy
# signs in with. `days_left` is 0 on the last day and negative after it; an account
# that must change its password at the next sign-in has 0. Accounts of a domain have
# no row here, also when remedy signs in with one: a session over the network may not
# ask the domain.

function is_administrator {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal -ArgumentList $identity
    return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

function own_sid {
    return [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
}

# Of others' accounts everybody else sees too little, and a date that is not seen looks like none.
if (-not (is_administrator)) { throw 'this needs an administrator' }

$role = (Get-CimInstance -ClassName Win32_ComputerSystem).DomainRole
if ($null -eq $role) { throw 'Windows does not say whether this is a domain controller' }
# 4 and 5 are domain controllers.
if ([int]$role -ge 4) { not_applicable 'a domain controller has the accounts of its domain, and none of its own' }

$own = [string](own_sid)
if ($own -eq '') { throw 'Windows does not say which account this is' }
# By SID: whether the account's flags let its password expire.
$expires_by_flag = @{}
foreach ($each in @(Get-CimInstance -ClassName Win32_UserAccount -Filter 'LocalAccount=TRUE')) {
    $expires_by_flag[[string]$each.SID] = $each.PasswordExpires
}

$users = @(Get-LocalUser)
if ($users.Count -eq 0) { throw 'Windows names no local account, and every machine has one' }
$now = [DateTime]::UtcNow
foreach ($user in $users) {
    $sid = [string]$user.SID.Value
    if ($sid -eq '') { throw "Windows does not say who the account '$($user.Name)' is" }
    $is_own = $sid -eq $own
    if (-not $is_own) {
        if ($user.Enabled -eq $false) { continue }
        if ($null -ne $user.AccountExpires -and $user.AccountExpires.ToUniversalTime() -lt $now) { continue }
    }

    $days_left = $null
    $must_change = $false
    if ($null -ne $user.PasswordExpires) {
        $days_left = [int][math]::Floor(($user.PasswordExpires.ToUniversalTime() - $now).TotalDays)
    } elseif ($expires_by_flag[$sid] -eq $false) {
        continue
    } elseif ($null -ne $user.PasswordLastSet) {
        # It was set, and no date follows from that: the policy lets none expire.
        if ($null -ne $expires_by_flag[$sid]) { continue }
    } elseif ($expires_by_flag[$sid] -eq $true) {
        $must_change = $true
        $days_left = 0
    }
    emit account $user.Name days_left $days_left must_change $must_change own $is_own
}
exit 0
