#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
Removes the Windows service lmgateway and its program.

.PARAMETER RemoveData
Also remove %ProgramData%\lmgateway: the settings, the key, the state and the logs.
#>
[CmdletBinding()]
param([switch] $RemoveData)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$Service = 'lmgateway'
$Program = Join-Path $env:ProgramFiles $Service
$Data = Join-Path $env:ProgramData $Service

if (Get-Service -Name $Service -ErrorAction SilentlyContinue) {
    Write-Host 'Stopping the service; running requests may take half a minute to finish.'
    Stop-Service -Name $Service
    # The wrapper's files are locked until its process has ended.
    Get-Process -Name 'lmgateway-service' -ErrorAction SilentlyContinue | Wait-Process -Timeout 60
    # Windows PowerShell 5.1 has no Remove-Service.
    $output = & sc.exe delete $Service
    if ($LASTEXITCODE -ne 0) {
        throw "sc.exe delete $Service failed with exit status ${LASTEXITCODE}: $output"
    }
}
Remove-NetFirewallRule -Name $Service -ErrorAction SilentlyContinue
if ([System.Diagnostics.EventLog]::SourceExists($Service)) {
    [System.Diagnostics.EventLog]::DeleteEventSource($Service)
}
if (Test-Path -LiteralPath $Program) {
    Remove-Item -LiteralPath $Program -Recurse -Force
}
if ($RemoveData) {
    if (Test-Path -LiteralPath $Data) {
        Remove-Item -LiteralPath $Data -Recurse -Force
    }
}
elseif (Test-Path -LiteralPath $Data) {
    Write-Host "Settings, key, state and logs are still in $Data; -RemoveData removes them."
}
