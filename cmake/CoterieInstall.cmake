# install() and find_package(coterie): static libraries, headers under include/coterie as in the source tree, and the
# targets coterie::host, coterie::io and coterie::cuda.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(COTERIE_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/coterie)

foreach(part host io cuda)
  set_target_properties(coterie_${part} PROPERTIES EXPORT_NAME ${part})
  target_include_directories(coterie_${part} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/coterie>)
  install(TARGETS coterie_${part} EXPORT coterieTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${part} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/coterie FILES_MATCHING PATTERN "*.hpp")
endforeach()
install(TARGETS coterie_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(EXPORT coterieTargets NAMESPACE coterie:: DESTINATION ${COTERIE_CONFIG_DIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/coterieConfig.cmake.in ${PROJECT_BINARY_DIR}/coterieConfig.cmake
  INSTALL_DESTINATION ${COTERIE_CONFIG_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/coterieConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/coterieConfig.cmake ${PROJECT_BINARY_DIR}/coterieConfigVersion.cmake DESTINATION ${COTERIE_CONFIG_DIR})
