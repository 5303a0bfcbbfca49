; The Windows installer, for one person and without administrator rights.
;
;   makensis -DVERSION=0.1.0 -DPROGRAM=dist/sample-explorer -DICON=build/made/app.ico
;            -DOUTPUT=dist/sample-explorer-0.1.0-windows-x86_64-setup.exe resources/install/windows.nsi
;
; Paths are taken from the folder that makensis runs in (-NOCD). An installation that is there is upgraded
; in its place. The uninstaller leaves library, settings and models alone and says where they are. /S
; does either silently, /D=FOLDER (last, without quotation marks) names the place.

Unicode true
!include "MUI2.nsh"
!include "FileFunc.nsh"
!include "LogicLib.nsh"

!define TITLE "Sample Explorer"
!define NAME "sample-explorer"
!define UNINSTALL "Software\Microsoft\Windows\CurrentVersion\Uninstall\${NAME}"
!define RUNNING "${TITLE} is running. Close its window and try again."

Name "${TITLE}"
OutFile "${OUTPUT}"
RequestExecutionLevel user
InstallDir "$LOCALAPPDATA\Programs\${TITLE}"
InstallDirRegKey HKCU "${UNINSTALL}" "InstallLocation"
SetCompressor /SOLID lzma
ManifestDPIAware true
ShowInstDetails nevershow
ShowUninstDetails nevershow

VIProductVersion "${VERSION}.0"
VIAddVersionKey "ProductName" "${TITLE}"
VIAddVersionKey "ProductVersion" "${VERSION}"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "FileDescription" "${TITLE} setup"
VIAddVersionKey "LegalCopyright" "The Sample Explorer authors, MIT licence"

!define MUI_ICON "${ICON}"
!define MUI_UNICON "${ICON}"
!define MUI_FINISHPAGE_RUN "$INSTDIR\${NAME}.exe"
!define MUI_FINISHPAGE_RUN_TEXT "Start ${TITLE}"
!insertmacro MUI_PAGE_LICENSE "${PROGRAM}/_internal/LICENSE"
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

; A program that runs keeps its file closed to writing.
!macro REFUSE_WHILE_RUNNING
  ${If} ${FileExists} "$INSTDIR\${NAME}.exe"
    ClearErrors
    FileOpen $0 "$INSTDIR\${NAME}.exe" a
    ${If} ${Errors}
      MessageBox MB_OK|MB_ICONEXCLAMATION "${RUNNING}" /SD IDOK
      SetErrorLevel 1
      Abort "${RUNNING}"
    ${EndIf}
    FileClose $0
  ${EndIf}
!macroend

; Only what was installed: a folder "data" beside the program is portable mode's library.
!macro REMOVE_PROGRAM
  RMDir /r "$INSTDIR\_internal"
  Delete "$INSTDIR\${NAME}.exe"
  Delete "$INSTDIR\${NAME}.ico"
  Delete "$INSTDIR\uninstall.exe"
!macroend

Section "Program"
  !insertmacro REFUSE_WHILE_RUNNING
  ; A folder that holds something else is not ours to write into.
  ${If} ${FileExists} "$INSTDIR\_internal\*.*"
  ${AndIfNot} ${FileExists} "$INSTDIR\${NAME}.exe"
    MessageBox MB_OK|MB_ICONEXCLAMATION "$INSTDIR belongs to another program; choose another folder." /SD IDOK
    SetErrorLevel 1
    Abort
  ${EndIf}
  !insertmacro REMOVE_PROGRAM
  SetOutPath "$INSTDIR"
  File /r "${PROGRAM}/*"
  File "/oname=${NAME}.ico" "${ICON}"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  CreateShortCut "$SMPROGRAMS\${TITLE}.lnk" "$INSTDIR\${NAME}.exe" "" "$INSTDIR\${NAME}.ico"

  WriteRegStr HKCU "${UNINSTALL}" "DisplayName" "${TITLE}"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayIcon" "$INSTDIR\${NAME}.ico"
  WriteRegStr HKCU "${UNINSTALL}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKCU "${UNINSTALL}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${UNINSTALL}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${UNINSTALL}" "NoModify" 1
  WriteRegDWORD HKCU "${UNINSTALL}" "NoRepair" 1
  ${GetSize} "$INSTDIR" "/S=0K" $0 $1 $2
  WriteRegDWORD HKCU "${UNINSTALL}" "EstimatedSize" $0
SectionEnd

Section "Uninstall"
  !insertmacro REFUSE_WHILE_RUNNING
  !insertmacro REMOVE_PROGRAM
  StrCpy $0 "$LOCALAPPDATA\${NAME}"
  ${If} ${FileExists} "$INSTDIR\data\*.*"
    StrCpy $0 "$INSTDIR\data"
  ${EndIf}
  RMDir "$INSTDIR" ; only when it is empty
  Delete "$SMPROGRAMS\${TITLE}.lnk"
  DeleteRegKey HKCU "${UNINSTALL}"
  ${If} ${FileExists} "$0\*.*"
    MessageBox MB_OK|MB_ICONINFORMATION "Your library, settings and models are still in $0. Delete that folder if you want them gone." /SD IDOK
  ${EndIf}
SectionEnd
