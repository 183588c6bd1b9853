# What `cmake --install` puts where: programs, static libraries, headers, the CMake package, man pages, the systemd unit.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tensord)

install(TARGETS tensord tensorctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS tensorwire tensord_server tensorclient EXPORT tensordTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY common/include/tensorwire server/include/tensord client/include/tensorclient
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")

install(EXPORT tensordTargets NAMESPACE tensord:: DESTINATION ${package_dir})
configure_package_config_file(common/cmake/tensordConfig.cmake.in ${PROJECT_BINARY_DIR}/tensordConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tensordConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tensordConfig.cmake ${PROJECT_BINARY_DIR}/tensordConfigVersion.cmake
        DESTINATION ${package_dir})

install(FILES server/tensord.1 client/tensorctl/tensorctl.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES README.md CHANGELOG.md LICENSE common/PROTOCOL.md server/tensord.toml DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The unit in the source tree names /usr/local/bin; the installed one names where the daemon really went.
file(READ server/tensord.service unit)
string(REPLACE "/usr/local/bin" "${CMAKE_INSTALL_FULL_BINDIR}" unit "${unit}")
file(CONFIGURE OUTPUT tensord.service CONTENT "${unit}" @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tensord.service DESTINATION lib/systemd/system)
